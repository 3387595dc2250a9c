// The inputs of answering, and the properties of a request before it is queued. Types only.

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
  /** Limit of new tokens, whatever a request asks for. */
  readonly maxTokens: number | undefined
  readonly createSeed: () => number
  /** Returns a new id for a tool call. */
  readonly createId: () => string
  /** undefined: the server does not learn. */
  readonly learning: UserLearning | undefined
}

/** Everything that is known about a request before it is queued. */
export interface AnswerPlan {
  readonly request: AnswerRequest
  readonly chosen: ChosenExpert
  readonly prompts: readonly WrittenPrompt[]
  readonly seed: number
  readonly texts: TokenTexts | undefined
  /** Answers whose prompt tokens were already emitted. */
  readonly told: Set<number>
  /** Answers to a user that are learned from, by their index. */
  readonly learned: Map<number, LearnedAnswer>
}
