// The expert that answers a user. Independent of learners, which a server loads only if it learns.

import { isMixture } from '../../adapters/serving/mixture.ts'
import type { ExpertHandle } from '../../runtime/engine/pool/adapter-pool.ts'

/** The expert that answers a user; without one the base answers. */
export interface AnsweringExpert {
  readonly handle: ExpertHandle
}

/** Whether tiers can be learned on top of an expert: it is one adapter in f32. */
export const canLearnOn = ({ handle: { expert } }: AnsweringExpert): boolean =>
  expert !== undefined && !isMixture(expert)
