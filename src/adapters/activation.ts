// Activated LoRA: a low-rank branch that acts only from the last occurrence of its invocation
// tokens on. For earlier tokens the base's outputs, keys and values are unchanged. Greenewald et
// al. 2025, arXiv:2504.12397. This file decides which tokens those are. Independent of adapter
// tensors and programs.

import { UnsupportedError } from '../base/errors.ts'
import { f32, type F32Tensor } from '../base/tensor.ts'
import type { GraphBuilder } from '../graph/builder.ts'
import type { Value } from '../graph/ir.ts'

/**
 * Feed f32 [N, T, 1] of a model with an activated adapter: 1 where the adapter acts, 0 where it
 * does not.
 */
export const ACTIVE = 'active'

/** A row without the invocation tokens: the base answers. */
export const NEVER = Infinity

/**
 * Position in a row from which the adapter acts: the first token of the last complete occurrence,
 * as in PEFT; NEVER if there is none.
 */
export function findActivationStart(ids: ArrayLike<number>, invocation: readonly number[]): number {
  for (let start = ids.length - invocation.length; start >= 0; start--) {
    if (invocation.every((id, i) => ids[start + i] === id)) return start
  }
  return NEVER
}

/** Why an activated adapter cannot become part of a weight. */
export const createActivatedMergeError = (what: string): UnsupportedError =>
  new UnsupportedError(
    `${what} is activated by tokens (alora_invocation_tokens): it changes the layers only for the tokens after them, ` +
      'and a weight is the same for every token. Serve it as an adapter.',
  )

/**
 * The factor of the low-rank branch of a layer with input x [N, T, in], [N, T, 1]; after the head's
 * selection of rows, x [M, in], it is [M, 1].
 */
export function buildActivation(g: GraphBuilder, x: Value): Value {
  const active = g.input(ACTIVE, 'f32', ['N', 'T', 1])
  return x.shape.length === 2 ? g.op('gatherRows', [active, g.input('rows', 'i64', ['M'])]) : active
}

/**
 * The feed for `tokens` tokens of each row, of which the first has position first[n]: 1 from
 * starts[n] on.
 */
export function computeActiveFeed(
  starts: readonly number[],
  tokens: number,
  first: readonly number[] = starts.map(() => 0),
): F32Tensor {
  const active = f32([starts.length, tokens, 1])
  starts.forEach((start, n) => {
    const from = Math.max(0, start - first[n]!)
    if (from < tokens) active.data.fill(1, n * tokens + from, (n + 1) * tokens)
  })
  return active
}
