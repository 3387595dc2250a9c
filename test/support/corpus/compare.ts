// Results of Graft compared with those of the reference for the same odd input.

import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { gunzipSync } from 'node:zlib'

/** What a reader makes of an input: a hash of what it holds, or 'error'. */
export interface CorpusReading {
  readonly result: string
  /** What was read, or the error. */
  readonly details: string
}

/** Projections of logits; 'incomplete': tensors are missing or left over, and PEFT only warns. */
export type FolderExpected = readonly number[] | 'error' | 'incomplete'

/** One input's results in the fixture. null: the reference has no such format. */
export interface Expected<Result = string | null> {
  /** Which input the results are of. */
  readonly input: string
  readonly result: Result
}

interface Expectations {
  readonly versions: Readonly<Record<string, string>>
  readonly rows: readonly Expected[]
  readonly files: readonly Expected[]
  readonly folders: readonly Expected<FolderExpected>[]
  readonly foreign: readonly Expected<FolderExpected | null>[]
}

/** The reference's results, which the scripts in test/parity/corpus wrote. */
export const readExpectations = (): Expectations =>
  JSON.parse(
    gunzipSync(
      readFileSync(new URL('../../parity/corpus/expected.json.gz', import.meta.url)),
    ).toString('utf8'),
  ) as Expectations

/** Names an input in the fixture. */
export const hashInput = (input: string | Uint8Array): string =>
  createHash('sha256').update(input).digest('hex').slice(0, 8)

export const agreements = [
  'the same',
  'both refuse',
  'Graft alone refuses',
  'other, for a reason',
  'no reference',
] as const
export type Agreement = (typeof agreements)[number] | 'other'

/** A reason why Graft reads an input that the reference refuses, or reads it otherwise. */
export interface Reason<Odd> {
  readonly name: string
  fits(odd: Odd, ours: CorpusReading, theirs: string): boolean
}

export interface Comparison {
  readonly agreement: Agreement
  readonly reason?: string
}

export function compareReadings<Odd>(
  odd: Odd,
  ours: CorpusReading,
  theirs: string | null,
  reasons: readonly Reason<Odd>[],
): Comparison {
  if (theirs === null) return { agreement: 'no reference' }
  const isSame = ours.result === theirs.replace('=', '')
  if (isSame) return { agreement: theirs === 'error' ? 'both refuse' : 'the same' }
  if (ours.result === 'error') return { agreement: 'Graft alone refuses' }
  const reason = reasons.find(({ fits }) => fits(odd, ours, theirs))
  return reason ? { agreement: 'other, for a reason', reason: reason.name } : { agreement: 'other' }
}
