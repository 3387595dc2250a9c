// The drafters that every answer has. Its stage may add another, such as a learner's memory.

import type { StageChoice } from '../logits/stage.ts'
import type { Drafter } from './drafter.ts'
import { createPromptLookup } from './prompt-lookup.ts'

/** Created anew for each answer, because a drafter may keep state. */
export const drafterMakers: readonly (() => Drafter)[] = [createPromptLookup]

export const createDrafters = (stage: StageChoice | undefined): Drafter[] => [
  ...(stage?.drafter ? [stage.drafter] : []),
  ...drafterMakers.map((make) => make()),
]
