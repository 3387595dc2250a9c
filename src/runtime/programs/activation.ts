// From which token on the adapters of a batch's rows act: computed once from the prompts, as in
// PEFT, and not again from generated tokens.

import { findActivationStart } from '../../adapters/activation.ts'
import { isWeightZero } from '../../adapters/serving/part-weight.ts'
import { type Expert, isMixture } from '../../adapters/index.ts'
import { isPerRow, type ServedExperts } from './row-groups.ts'

/**
 * An expert's invocation tokens. All adapters of a mixture with nonzero weight have the same; other
 * mixtures are refused.
 */
export function findInvocation(expert: Expert | undefined): readonly number[] | undefined {
  if (!expert || !isMixture(expert)) return expert?.config.invocationTokens
  return expert.mixture.find(
    ({ adapter, weight }) => !isWeightZero(weight) && adapter.config.invocationTokens,
  )?.adapter.config.invocationTokens
}

/**
 * Positions in the rows from which their experts act: 0 where they act on all tokens, infinity
 * where a row lacks the invocation tokens. undefined if no expert has any. `rows` are whole
 * prompts.
 */
export function findActivationStarts(
  served: ServedExperts,
  rows: readonly (readonly number[])[],
): number[] | undefined {
  const invocations = rows.map((_, n) => findInvocation(isPerRow(served) ? served[n] : served))
  if (invocations.every((invocation) => invocation === undefined)) return undefined
  return rows.map((row, n) => (invocations[n] ? findActivationStart(row, invocations[n]) : 0))
}
