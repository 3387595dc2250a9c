// The options of the proxy that keeps a teacher's calls.

import { integer, listOf, oneOf, string, unchecked } from '../../base/schema.ts'
import type { CaptureOutcome } from '../../server/capture/create-capture.ts'

export interface StartCaptureOptions {
  /** The teacher's address, up to and with /v1. */
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
      'ask: keep calls with the header x-graft-consent: yes; assume: all but those with no, because you have consent',
  }),
  redact: string({
    default: 'all',
    about: 'what is taken out of rows: emails, keys, cards, phones; all; none',
  }),
  redactPatterns: listOf(string({ filled: true })),
  onCall: unchecked<(outcome: CaptureOutcome) => void>('a function'),
}
