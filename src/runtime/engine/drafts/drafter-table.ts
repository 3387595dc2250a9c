// The drafters that every answer has, and those that its stage brings, such as a learner's memory.

import type { StageChoice } from '../logits/stage.ts'
import type { Drafter } from './drafter.ts'
import { createPromptLookup } from './prompt-lookup.ts'

/** Each is made again for an answer, because it may keep what it has seen. */
export const drafterMakers: readonly (() => Drafter)[] = [createPromptLookup]

export const createDrafters = (stage: StageChoice | undefined): Drafter[] => [
  ...(stage?.drafter ? [stage.drafter] : []),
  ...drafterMakers.map((make) => make()),
]
