// Who answers a user, beside the base. Independent of learners, which a server loads only where it
// learns.

import { isMixture } from '../../adapters/serving/mixture.ts'
import type { ExpertHandle } from '../../runtime/engine/pool/adapter-pool.ts'

/** Who answers a user, beside the base. */
export interface AnsweringExpert {
  readonly handle: ExpertHandle
}

/** Whether tiers can stand on an expert: on one adapter that is kept as it is. */
export const canLearnOn = ({ handle: { expert } }: AnsweringExpert): boolean =>
  expert !== undefined && !isMixture(expert)
