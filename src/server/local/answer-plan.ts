// What answering requests needs, and what is known of one before it is queued. Types only.

import type { LearnedAnswer, UserLearning } from '../learning/user-learning.ts'
import type { AnswerRequest } from '../service.ts'
import type { ChosenExpert, ExpertChooser } from './choose-expert.ts'
import type { ExpertRegister } from './expert-register.ts'
import type { ServingEngine } from './serving-engine.ts'
import type { TokenTexts } from './token-texts.ts'
import type { PromptWriter, WrittenPrompt } from './write-prompt.ts'

export interface AnswererParts {
  readonly engine: ServingEngine
  readonly experts: ExpertRegister
  readonly chooser: ExpertChooser
  readonly writer: PromptWriter
  readonly contextTokens: number
  /** New tokens at most, whatever a request asks for. */
  readonly maxTokens: number | undefined
  readonly createSeed: () => number
  /** A new id of a call. */
  readonly createId: () => string
  /** undefined: nobody is learned from. */
  readonly learning: UserLearning | undefined
}

/** Everything that is known of a request before it is queued. */
export interface AnswerPlan {
  readonly request: AnswerRequest
  readonly chosen: ChosenExpert
  readonly prompts: readonly WrittenPrompt[]
  readonly seed: number
  readonly texts: TokenTexts | undefined
  /** Answers of which the prompt's tokens were told. */
  readonly told: Set<number>
  /** Of a user's answers: what is done with their ends. */
  readonly finishers: Map<number, LearnedAnswer['finish']>
}
