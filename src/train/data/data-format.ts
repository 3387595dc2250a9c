// The contract of a data format: one file per format, one row in format-table.ts. A format knows
// keys and text, never tokens.

import type { ChatMessage } from '../../formats/text/chat-template.ts'
import type { RowLog } from './row-log.ts'

/** What a model is to learn from one row. */
export type Example =
  SingleExample | PairExample | JudgedExample | GradedExample | ContrastiveExample

/** Two answers to one prompt: training makes the first more likely than the second. */
export interface PairExample {
  readonly kind: 'pair'
  readonly chosen: SingleExample
  readonly rejected: SingleExample
}

/** An answer that was rated good or bad: training makes it more likely or less likely. */
export interface JudgedExample {
  readonly kind: 'judged'
  readonly answer: SingleExample
  readonly isGood: boolean
}

/**
 * An answer with a reward, which is compared with the rewards of other answers to the same prompt.
 */
export interface GradedExample {
  readonly kind: 'graded'
  readonly answer: SingleExample
  readonly reward: number
}

/**
 * Texts: training moves the embeddings of the positives towards the anchor's, and those of the
 * negatives away from it.
 */
export interface ContrastiveExample {
  readonly kind: 'contrastive'
  readonly anchor: string
  /** At least one. */
  readonly positives: readonly string[]
  readonly negatives: readonly string[]
}

export type SingleExample =
  /**
   * Every assistant turn is learned, or those from message number `learnedFrom` on, except those at
   * the indices `unlearned`.
   */
  | {
      readonly kind: 'chat'
      readonly messages: readonly ChatMessage[]
      readonly tools?: readonly object[]
      readonly learnedFrom?: number
      readonly unlearned?: readonly number[]
    }
  /**
   * The completion is learned. `plainPrompt` replaces the prompt if the model has no chat template.
   */
  | {
      readonly kind: 'completion'
      readonly prompt: string
      readonly completion: string
      readonly system?: string
      readonly plainPrompt?: string
    }
  /** All of it is learned. */
  | { readonly kind: 'text'; readonly text: string }

export type DataRecord = Readonly<Record<string, unknown>>

export interface DataFormat {
  /** 'messages' */
  readonly name: string
  /** How a row looks, for errors: '{ "text": "…" }'. */
  readonly syntax: string
  /** The keys that `read` uses. Any other is refused by name or counted (row-keys.ts). */
  readonly keys: ReadonlySet<string>
  /** If given, only these keys may be present besides; any other is refused. */
  readonly describing?: ReadonlySet<string>
  /** Whether a row's keys are this format's; `read` checks their values. */
  matches(row: DataRecord): boolean
  /**
   * Why a row with this format's keys does not have this format, if a single value is the reason.
   */
  findMismatch?(row: DataRecord): string | undefined
  /** The example, or what is wrong with the row. Notes in the log what is not used. */
  read(row: DataRecord, log: RowLog): Example | string
}

/**
 * The problem of a key whose value is not a string; an empty string is accepted only with `empty`.
 */
export function findTextProblem(
  row: DataRecord,
  key: string,
  empty: 'empty allowed' | 'not empty',
): string | undefined {
  const value = row[key]
  if (typeof value !== 'string')
    return `"${key}" must be a string, got ${value === undefined ? 'nothing' : JSON.stringify(value)?.slice(0, 40)}${typeof value === 'object' && value !== null ? '; give JSON as a text, as JSON.stringify writes it' : ''}`
  return value === '' && empty === 'not empty' ? `"${key}" is empty` : undefined
}
