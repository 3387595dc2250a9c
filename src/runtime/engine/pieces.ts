// Cuts a prompt into pieces for prefill, so that a prompt with a cached prefix gives bit-identical
// results to an uncached one.
//
// Measured (SmolLM2-135M Q4_1 and stories260k, base and LoRA r16, fast and exact, x86-64 with 2
// threads): in the prefill program, a token's results depend neither on the number of tokens in the
// call nor on the row's capacity, as long as there are at least two tokens. A single token runs in
// another kernel. So a cached prefix may end at any block. Only a last piece of one token is
// avoided, by computing one more block: 16 more tokens for one prompt in 16.

import { assertInternal } from '../../base/errors.ts'
import { BLOCK_SIZE } from './kv/kv-types.ts'

export interface PiecePlan {
  /** Tokens that are taken from the cache: a multiple of the unit, not above `cached`. */
  readonly start: number
  /** Lengths of the pieces that follow. */
  readonly pieces: readonly number[]
}

/**
 * Pieces of at most `pieceTokens` (a multiple of 16) for a prompt of `length` tokens of which the
 * first `cached` are in the cache. The last token is always read. A cached prefix may end at
 * multiples of `unit`: 16, or `pieceTokens` on a machine whose results do depend on the pieces (a
 * test checks this where it runs), so that the pieces equal those of an uncached run.
 */
export function planPieces(
  length: number,
  cached: number,
  pieceTokens: number,
  unit = BLOCK_SIZE,
): PiecePlan {
  assertInternal(
    pieceTokens >= 2 * BLOCK_SIZE && pieceTokens % BLOCK_SIZE === 0,
    `pieces of ${pieceTokens} tokens; expected a multiple of ${BLOCK_SIZE} from ${2 * BLOCK_SIZE} on`,
  )
  const readable = Math.max(0, length - 2) // at least two tokens are computed
  const start = Math.floor(Math.min(cached, readable) / unit) * unit
  const rest = length - start
  const whole = Math.floor(rest / pieceTokens)
  const pieces = new Array<number>(whole).fill(pieceTokens)
  const last = rest % pieceTokens
  if (last === 1 && whole > 0) pieces[whole - 1]! -= BLOCK_SIZE
  if (last > 0) pieces.push(last === 1 && whole > 0 ? last + BLOCK_SIZE : last)
  return { start, pieces }
}

/** Tokens of a cold prompt in leading pieces of full length: a longer prompt has the same ones. */
export function countWholePieces(length: number, pieceTokens: number): number {
  const { pieces } = planPieces(length, 0, pieceTokens)
  const first = pieces.findIndex((count) => count !== pieceTokens)
  return (first === -1 ? pieces.length : first) * pieceTokens
}
