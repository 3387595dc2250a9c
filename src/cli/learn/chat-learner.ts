// Learns from a conversation: answers with a user's tiers, takes ratings and corrections.
// Independent of the terminal and of prompt formats.

import type { Adapter } from '../../adapters/index.ts'
import { NotFoundError } from '../../base/errors.ts'
import type { Learner, UserStore } from '../../learn/index.ts'
import type { LoadedModel } from '../../node/model.ts'
import type { GenerateEvent, Prompt, PromptOptions } from '../../runtime/index.ts'
import { openLearner, openStore, type UserValues } from './learn-users.ts'

export interface ChatLearner {
  /** Answers as `model.generate` does, as this user's model. */
  generate(prompt: Prompt, options: PromptOptions): AsyncGenerator<GenerateEvent, void>
  /**
   * Learns from a thumb on the last answer and reports the result. Throws NotFoundError if there is
   * no answer to rate.
   */
  judge(feedback: 'up' | 'down'): Promise<string>
  /**
   * Learns what the last answer should have been and reports its loss before. Throws NotFoundError
   * if nothing was asked.
   */
  teach(completion: string): Promise<string>
  /** Saves the user. */
  close(): Promise<void>
}

export async function openChatLearner(
  model: LoadedModel,
  values: UserValues,
  expert: Adapter | undefined,
): Promise<ChatLearner> {
  const store = values.store === undefined ? undefined : await openStore(values.store)
  const problems: unknown[] = []
  const onProblem = ({ error }: { readonly error?: unknown }): void =>
    void (error !== undefined && problems.push(error))
  const learner = await openLearner(values, store, model, { expert, onProblem })
  return new UserConversation(learner, store, values.user, problems)
}

class UserConversation implements ChatLearner {
  readonly #learner: Learner
  readonly #store: UserStore | undefined
  readonly #user: string
  readonly #problems: readonly unknown[]
  #asked: Prompt | undefined
  #turn: number | undefined

  constructor(
    learner: Learner,
    store: UserStore | undefined,
    user: string,
    problems: readonly unknown[],
  ) {
    this.#learner = learner
    this.#store = store
    this.#user = user
    this.#problems = problems
  }

  async *generate(prompt: Prompt, options: PromptOptions): AsyncGenerator<GenerateEvent, void> {
    this.#asked = prompt
    this.#turn = undefined
    for await (const event of this.#learner.generate(prompt, { ...options, user: this.#user })) {
      if (event.type === 'turn-end') this.#turn = event.turn
      else yield event
    }
  }

  async judge(feedback: 'up' | 'down'): Promise<string> {
    if (this.#turn === undefined)
      throw new NotFoundError('There is no answer to rate, or it was rated already.')
    await this.#learner.feedback({ user: this.#user, turn: this.#turn, feedback })
    this.#turn = undefined
    return feedback === 'up' ? 'learned: more like this' : 'learned: less like this'
  }

  async teach(completion: string): Promise<string> {
    if (this.#asked === undefined)
      throw new NotFoundError('There is no question yet, so there is nothing to teach.')
    const { losses } = await this.#learner.learn({
      user: this.#user,
      prompt: this.#asked,
      completion,
    })
    const after = await this.#learner.loss({ user: this.#user, prompt: this.#asked, completion })
    return `learned: loss ${(losses.reduce((sum, loss) => sum + loss, 0) / losses.length).toFixed(2)} before, ${after.toFixed(2)} now`
  }

  async close(): Promise<void> {
    try {
      await this.#learner.close()
      if (this.#problems.length > 0) throw this.#problems[0]
    } finally {
      await this.#store?.close()
    }
  }
}
