// Activated LoRA in training: each packed sequence has its own start, and a shared prefix must have
// the same activation for all that share it.

import { ACTIVE, findActivationStart, NEVER } from '../../adapters/activation.ts'
import { assertInternal, DataError } from '../../base/errors.ts'
import { f32, type F32Tensor } from '../../base/tensor.ts'
import { PADDING, SHARED_PREFIX } from '../../graph/feeds.ts'
import type { Batch } from './batch.ts'
import type { EncodedData, EncodedSequence } from '../data/encode.ts'

/**
 * The positions of each sequence in a packed sequence, in order, with those of the shared prefix
 * first.
 */
function groupBySequence(segments: Int32Array): number[][] {
  const shared: number[] = []
  const own = new Map<number, number[]>()
  segments.forEach((segment, t) => {
    if (segment === PADDING) return
    if (segment === SHARED_PREFIX) return void shared.push(t)
    const places = own.get(segment)
    if (places) places.push(t)
    else own.set(segment, [...shared, t])
  })
  return [...own.values()]
}

/**
 * The feed `active` [N, T, 1]: of each sequence the tokens from its last invocation on. Padding is
 * neither read nor searched.
 */
export function markActiveTokens(
  { rows, tokens, ids, segments }: Batch,
  invocation: readonly number[],
): F32Tensor {
  const active = f32([rows, tokens, 1])
  for (let n = 0; n < rows; n++) {
    const line = active.data.subarray(n * tokens, (n + 1) * tokens)
    const lineIds = ids.subarray(n * tokens, (n + 1) * tokens)
    // the first sequence's values for the prefix that all share
    const said = new Map<number, number>()
    for (const places of groupBySequence(segments.subarray(n * tokens, (n + 1) * tokens))) {
      const start = findActivationStart(
        places.map((t) => lineIds[t]!),
        invocation,
      )
      places.forEach((t, i) => {
        const value = i >= start ? 1 : 0
        assertInternal(
          (said.get(t) ?? value) === value,
          `line ${n}: its sequences share token ${t}, which is active in some of them only`,
        )
        said.set(t, value)
        line[t] = value
      })
    }
  }
  return active
}

/**
 * The additional feeds of an adapter with these invocation tokens; none if it has no such tokens.
 */
export const collectActivationFeeds = (
  batch: Batch,
  invocation: readonly number[] | undefined,
): [string, F32Tensor][] => (invocation ? [[ACTIVE, markActiveTokens(batch, invocation)]] : [])

/** Throws DataError if no row has the invocation tokens: nothing would be learned from them. */
export function checkInvocation(
  { name, rows }: Pick<EncodedData, 'name' | 'rows'>,
  invocation: readonly number[],
): void {
  if (rows.some(({ ids }) => findActivationStart(ids, invocation) < NEVER)) return
  throw new DataError(
    `${name}: no row contains the adapter's invocation tokens ${invocation.join(', ')}, after which it acts; nothing would be learned. ` +
      'Put their text into the prompts.',
  )
}

/**
 * How many tokens of the common prefix the rows can share: all of them if all rows become active at
 * the same one, else those before the first activation.
 */
export function limitSharedPrefix(
  rows: readonly EncodedSequence[],
  shared: number,
  invocation: readonly number[],
): number {
  const starts = rows.map(({ ids }) => findActivationStart(ids, invocation))
  const first = starts.reduce((least, start) => Math.min(least, start), NEVER)
  return first >= shared || starts.every((start) => start === first) ? shared : first
}
