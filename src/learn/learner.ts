// A model that learns from its users: each has a fast tier and a memory at the head, and a slow
// tier that consolidates what they learned. Users share only the base model. This file is the
// caller's view; users/ manages users in memory and in the store, updates/ changes a user.

import { NotFoundError } from '../base/errors.ts'
import { readOptions } from '../base/schema.ts'
import { getAnswerTokenizer } from '../adapters/files/expert-text.ts'
import { createExpertKeys } from '../runtime/engine/pool/expert-key.ts'
import type { Prompt, PromptOptions } from '../runtime/index.ts'
import type {
  CorrectedTurn,
  LearnedTurn,
  Learner,
  LearnerEvent,
  UserAnswer,
  UserReaders,
} from './learner-calls.ts'
import { createLearnerContext, type LearnerContext } from './learner-context.ts'
import type { LearnerOptions } from './learner-options.ts'
import type { UserState } from './store/user-state.ts'
import { type EncodedTurn, encodeTurn, type TurnExample } from './turns/encode-turn.ts'
import { measureLoss } from './turns/measure-loss.ts'
import type { LearningSignal } from './turns/reward.ts'
import { startTurn } from './turns/start-turn.ts'
import { CanaryGuard } from './updates/canary-guard.ts'
import {
  consolidateFields,
  type ConsolidateUserOptions,
  consolidateUser,
  type ConsolidationResult,
} from './updates/consolidate-user.ts'
import { ConsolidationScheduler, isConsolidationDue } from './updates/consolidation-schedule.ts'
import { createBaselineTiers } from './updates/gate-losses.ts'
import {
  type CompletionScores,
  type FeedbackResult,
  learnCompletion,
  learnFeedback,
  type LearnTurnParts,
} from './updates/learn-turn.ts'
import { type UnlearningParts, type UnlearningResult, unlearnTurn } from './updates/unlearn-turn.ts'
import {
  addTurn,
  createUser,
  getServingExpert,
  type LearnerUser,
  switchVersion,
} from './users/user.ts'
import { addCleanStart } from './users/history.ts'
import { createUserReaders, getOpenTurn } from './users/user-readers.ts'
import { encodeUser, restoreUser } from './users/user-codec.ts'
import type { StateOrigin } from './users/user-header.ts'
import { UserRegistry } from './users/user-registry.ts'
import { clearTiers } from './users/user-snapshot.ts'

/**
 * A learner over a model, by the model's own head; the model can serve other callers at the same
 * time. Throws OptionError with everything that is wrong with the options.
 */
export function createLearner(options: LearnerOptions): Learner {
  const learner = new TieredLearner(options)
  return Object.assign(
    learner,
    createUserReaders((name) => learner.readUser(name)),
  )
}

/** As the expert that users start from reads and writes, which their slow tiers do too. */
const encodeExample = (
  { model, expert }: Pick<LearnerContext, 'model' | 'expert'>,
  example: TurnExample,
): EncodedTurn => encodeTurn(model, example, expert)

class TieredLearner implements Omit<Learner, keyof UserReaders> {
  readonly #context: LearnerContext
  readonly #users: UserRegistry
  readonly #turnParts: LearnTurnParts
  /** undefined: users are consolidated by hand. */
  readonly #scheduler: ConsolidationScheduler | undefined
  readonly #replay: UnlearningParts['replay']
  #origin: StateOrigin | undefined

  constructor(options: LearnerOptions) {
    this.#context = createLearnerContext(options)
    const { model, layer } = this.#context
    const { canaries = [] } = options
    const guard = new CanaryGuard(
      {
        model,
        canaries: () => canaries.map((canary) => encodeTurn(model, canary, options.expert)),
        createBaseline: (version) => createBaselineTiers(this.#context, version),
        layer,
      },
      options.guard,
    )
    const replay: UnlearningParts['replay'] = (user, update) =>
      update.signal
        ? learnFeedback(user, update, update.signal, this.#turnParts)
        : learnCompletion(user, update, this.#turnParts)
    this.#replay = replay
    this.#users = new UserRegistry(options, {
      prepare: () => this.#readOrigin(),
      load: (name, state) => this.#loadUser(name, state),
      stateOf: (user) => encodeUser(user, this.#origin!),
      replay,
    })
    this.#turnParts = {
      ...this.#context,
      rewards: options,
      baseline: createBaselineTiers(this.#context, {
        adapter: this.#context.expert,
        ewc: undefined,
      }),
      guard,
      onLearned: (user, update) => this.#users.recordLearned(user, update),
    }
    const { trigger } = this.#context
    if (!trigger) return
    this.#scheduler = new ConsolidationScheduler(
      async (name) => {
        if (await this.due(name)) await this.consolidate(name, { by: trigger.by })
      },
      (name, work) => this.#users.addBackground(name, work),
    )
  }

  readUser(name: string): Promise<LearnerUser> {
    return this.#users.get(name)
  }

  async *generate(
    prompt: Prompt,
    { user, chat, ...options }: PromptOptions & { readonly user: string },
  ): AsyncGenerator<LearnerEvent, void> {
    const { model, expert } = this.#context
    const promptIds = model.encode(prompt, chat, expert)
    const answer = await this.startAnswer(user, promptIds)
    for await (const event of model.generate(promptIds, { ...options, ...answer.request })) {
      yield event
      if (event.type === 'generation-end')
        yield { type: 'turn-end', turn: await answer.finish(event) }
    }
  }

  async startAnswer(name: string, promptIds: readonly number[]): Promise<UserAnswer> {
    const user = await this.#users.get(name)
    const { layerTiers, keptTurns } = this.#context
    const parts = { ...this.#context, keepsLayerInput: layerTiers !== undefined }
    const server = { tiers: user.tiers, adapter: getServingExpert(user) }
    const started = startTurn(parts, server, promptIds)
    return {
      // Whether a prompt was cached shows in its time: users do not share what they asked.
      request: { ...started.request, tenant: `user ${name}` },
      finish: (generation) => {
        const turn = started.finish(generation)
        return this.#users.changeNow(name, (live) => addTurn(live, turn, keptTurns))
      },
    }
  }

  async feedback({
    user: name,
    turn: number,
    ...signal
  }: LearningSignal & { readonly user: string; readonly turn: number }): Promise<FeedbackResult> {
    const result = await this.#users.change(name, async (user) => {
      const turn = getOpenTurn(user, number)
      const learned = await learnFeedback(user, { number, turn }, signal, this.#turnParts)
      user.turns.delete(number) // an answer is rated once
      return learned
    })
    this.#scheduler?.check(name)
    return result
  }

  async correct({
    user: name,
    turn: number,
    completion,
  }: CorrectedTurn): Promise<CompletionScores> {
    const scores = await this.#users.change(name, async (user) => {
      const { ids, promptTokens } = getOpenTurn(user, number)
      const prompt = ids.slice(0, promptTokens)
      const encoded = encodeExample(this.#context, { prompt, completion })
      const turn = { ...encoded, hidden: undefined, adapter: undefined }
      const replaced = ids.slice(promptTokens)
      const update = { number, turn, replaced }
      const learned = await learnCompletion(user, update, this.#turnParts)
      user.turns.delete(number)
      return learned
    })
    this.#scheduler?.check(name)
    return scores
  }

  async learn(given: LearnedTurn): Promise<CompletionScores> {
    const encoded = encodeExample(this.#context, given)
    const turn = { ...encoded, hidden: undefined, adapter: undefined }
    const scores = await this.#users.change(given.user, (user) => {
      user.taught++
      const numbered = { number: user.count++, turn }
      return learnCompletion(user, numbered, this.#turnParts, given.wantsFrozenLosses)
    })
    this.#scheduler?.check(given.user)
    return scores
  }

  async loss(given: LearnedTurn): Promise<number> {
    const { model, layer } = this.#context
    const user = await this.#users.get(given.user)
    return measureLoss(
      model,
      [encodeExample(this.#context, given)],
      user.tiers,
      getServingExpert(user),
      layer,
    )
  }

  async consolidate(
    name: string,
    options: ConsolidateUserOptions = {},
  ): Promise<ConsolidationResult> {
    const values = readOptions('Consolidation', options, consolidateFields)
    const { by, bound, least } = values
    const { now } = this.#context
    const given = values.canaries?.map((canary) => encodeExample(this.#context, canary))
    const canaries = given ?? this.#turnParts.guard.canaries
    return this.#users.change(name, async (user) => {
      // before the gate, so that a failing one does not run again after the next turn
      user.consolidated = { time: now(), learned: user.learned }
      return consolidateUser(user, by, { canaries, bound, least }, this.#context)
    })
  }

  async due(name: string): Promise<boolean> {
    const { trigger, now } = this.#context
    const user = await this.#users.get(name)
    return trigger !== undefined && isConsolidationDue(user, trigger, now())
  }

  restore(name: string, version: number): Promise<void> {
    return this.#users.change(name, async (user) => {
      const found = user.versions.find(({ number }) => number === version)
      const known = user.versions.map(({ number }) => number).join(', ')
      if (!found)
        throw new NotFoundError(
          `There is no version ${version} of user ${JSON.stringify(name)}; there are ${known}.`,
        )
      switchVersion(user, found)
      clearTiers(user)
      addCleanStart(user)
    })
  }

  unlearn(name: string, turn: number): Promise<UnlearningResult> {
    const { model, expert } = this.#context
    const tokenizer = getAnswerTokenizer(model.base, expert)
    const decode: UnlearningParts['decode'] = (ids) =>
      tokenizer ? tokenizer.decode(ids, { skipSpecialTokens: true }) : ids.join(' ')
    const parts = Object.assign({ decode, replay: this.#replay }, this.#context)
    return this.#users.replace(name, (user) => unlearnTurn(user, turn, parts))
  }

  forget(name: string): Promise<void> {
    return this.#users.forget(name)
  }

  flush(): Promise<void> {
    return this.#users.flush()
  }

  async close(): Promise<void> {
    await this.#users.close()
    await this.#context.layerTiers?.dispose()
  }

  /** Reads the base model's identity, once and only for a store. */
  async #readOrigin(): Promise<void> {
    if (!this.#users.isStored) return
    const { model, head, expert } = this.#context
    const { width, vocabularySize } = head
    const base = await model.base.identity()
    const key = expert && (await createExpertKeys().hash(expert))
    this.#origin = { base, width, vocabularySize, ...(key !== undefined && { expert: key }) }
  }

  #loadUser(name: string, state: UserState | undefined): LearnerUser {
    const user = createUser(name, this.#context)
    if (state) restoreUser(user, state, this.#origin!)
    return user
  }
}
