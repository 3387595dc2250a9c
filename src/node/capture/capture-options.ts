// The options of the proxy that keeps a teacher's calls, and of replacing those calls.

import {
  integer,
  listOf,
  number,
  oneOf,
  type OptionValues,
  string,
  unchecked,
} from '../../base/schema.ts'
import type { CaptureOutcome } from '../../server/capture/create-capture.ts'

export interface StartCaptureOptions {
  /** The teacher's address, up to and including /v1. */
  readonly upstream: string
  /** File that rows are appended to. */
  readonly out: string
  readonly host?: string | undefined
  readonly port?: number | undefined
  readonly consent?: 'ask' | 'assume' | undefined
  /** Rules by name with commas, 'all' or 'none'. */
  readonly redact?: string | undefined
  /** Further rules: 'case=C-[0-9]+'. */
  readonly redactPatterns?: readonly string[] | undefined
  readonly onCall?: ((outcome: CaptureOutcome) => void) | undefined
}

export const captureFields = {
  upstream: string({ filled: true, about: "the teacher's address, up to and with /v1" }),
  out: string({ filled: true, about: 'file of rows that is appended to' }),
  host: string({ filled: true, default: '127.0.0.1', about: 'address to listen on' }),
  port: integer({
    from: 0,
    to: 65_535,
    default: 8790,
    about: 'port to listen on; 0: any free one',
  }),
  consent: oneOf<'ask' | 'assume'>(['ask', 'assume'], {
    default: 'ask' as const,
    about:
      'ask: keep calls with the header x-graft-consent: yes; assume: keep all except those with no, because you have consent',
  }),
  redact: string({
    default: 'all',
    about: 'what is removed from rows: emails, keys, cards, phones; all; none',
  }),
  redactPatterns: listOf(string({ filled: true })),
  onCall: unchecked<(outcome: CaptureOutcome) => void>('a function'),
}

/** Of replacing a teacher’s calls. */
export const replaceFields = {
  least: number({
    above: 0,
    to: 1,
    default: 0.8,
    about: "the lowest score against the teacher's answer that counts as good",
  }),
  trust: number({
    above: 0,
    below: 1,
    default: 0.9,
    about: 'share of the answers by the expert that must be good, at the low end of its interval',
  }),
  held: number({
    above: 0,
    below: 1,
    default: 0.4,
    about: 'share of the calls held out to measure the expert and train the router',
  }),
  epochs: integer({ from: 1, default: 3, about: 'times that each row is seen' }),
  learningRate: number({ above: 0, about: "of the training; default: the kind's own" }),
  newTokens: integer({ from: 1, default: 96, about: 'tokens of an answer at most' }),
  seed: integer({ default: 0, about: 'of splits and training' }),
}

export type ReplaceSettings = OptionValues<typeof replaceFields>
