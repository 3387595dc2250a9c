// How a prompt is cut into the pieces that prefill reads, so that a prompt whose beginning is cached
// gives the numbers of a cold one, bit for bit.
//
// What was measured (SmolLM2-135M Q4_1 and stories260k, base and LoRA r16, fast and exact, x86-64
// with 2 threads): with the prefill program a token's numbers depend neither on how many tokens run
// with it nor on the row's capacity, as long as at least two tokens run. One token alone takes
// another kernel. So a hit may be cut at every block, and only a last piece of one token is avoided:
// then one block more is read again, which costs 16 tokens in one of 16 prompts.

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
 * first `cached` are in the cache. The last token is always read. `unit` is the length at whose
 * multiples a hit may be cut: 16, or `pieceTokens` where a machine's numbers do depend on the pieces
 * (a test tries it where it runs): a hit has the pieces of a cold run then.
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
  const readable = Math.max(0, length - 2) // at least two tokens are read
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
