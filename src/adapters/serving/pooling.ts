// How hidden states of a text are pooled into one vector. Adapters that were trained to embed have
// the pooling in their metadata.

import type { Adapter } from '../adapter.ts'
import { type Expert, isMixture } from './mixture.ts'

/** The mean of all tokens, the last token, or the first. */
export const poolings = ['mean', 'last', 'cls'] as const
export type StatePooling = (typeof poolings)[number]

/** The key of an adapter's metadata; only adapters that were trained to embed have it. */
export const poolingKey = 'graft_pooling'

const readPooling = ({ metadata }: Pick<Adapter, 'metadata'>): StatePooling | undefined =>
  poolings.find((one) => one === metadata?.[poolingKey])

/**
 * The pooling that an expert was trained with; undefined if it was not trained to embed, or if the
 * adapters of a mixture differ.
 */
export function findPooling(expert: Expert | undefined): StatePooling | undefined {
  if (!expert) return undefined
  const adapters = isMixture(expert) ? expert.mixture.map(({ adapter }) => adapter) : [expert]
  const found = new Set(adapters.map(readPooling))
  return found.size === 1 ? [...found][0] : undefined
}
