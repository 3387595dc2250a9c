// How hidden states of a text become one vector, and which adapters were trained to make such
// vectors: their metadata has the pooling.

import type { Adapter } from '../adapter.ts'
import { type Expert, isMixture } from './mixture.ts'

/** The mean of all tokens, the last token, or the first. */
export const poolings = ['mean', 'last', 'cls'] as const
export type StatePooling = (typeof poolings)[number]

/** The key of an adapter's metadata; only adapters that were taught to embed have it. */
export const poolingKey = 'graft_pooling'

const readPooling = ({ metadata }: Pick<Adapter, 'metadata'>): StatePooling | undefined =>
  poolings.find((one) => one === metadata?.[poolingKey])

/**
 * The pooling that an expert was taught to embed with; undefined if it was not, or where the
 * adapters of a mixture do not agree.
 */
export function findPooling(expert: Expert | undefined): StatePooling | undefined {
  if (!expert) return undefined
  const adapters = isMixture(expert) ? expert.mixture.map(({ adapter }) => adapter) : [expert]
  const found = new Set(adapters.map(readPooling))
  return found.size === 1 ? [...found][0] : undefined
}
