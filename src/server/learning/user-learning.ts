// Learning in a server: a learner for each expert that has answered users, over one store; and
// which response was which turn. Independent of HTTP.

import type { Adapter } from '../../adapters/adapter.ts'
import { isMixture } from '../../adapters/serving/mixture.ts'
import { assertInternal, NotFoundError } from '../../base/errors.ts'
import { createLearner } from '../../learn/learner.ts'
import type { Learner, UserAnswer } from '../../learn/learner-calls.ts'
import type { LearnerOptions } from '../../learn/learner-options.ts'
import type { UserStore } from '../../learn/store/user-store.ts'
import type { Engine } from '../../runtime/engine/engine.ts'
import { RequestError } from '../request-error.ts'
import type {
  FeedbackOutcome,
  FeedbackRequest,
  ForgottenTurns,
  ServedUserReport,
  UserService,
  UserTurnReport,
} from '../user-service.ts'
import { type AnsweringExpert, canLearnOn } from './answering-expert.ts'
import { type HeldLearner, OpenLearners } from './open-learners.ts'
import { type ResponseTurn, ResponseTurns } from './response-turns.ts'
import { computeScope, createScopedStore, splitScope } from './scoped-store.ts'

export interface UserLearningOptions {
  readonly model: LearnerOptions['model']
  readonly engine: Pick<Engine, 'forgetTenant' | 'experts'>
  /** The store of users; it stays open. */
  readonly store: UserStore
  /** Options of every learner: tiers, schedule, kept turns. */
  readonly learner?: Omit<LearnerOptions, 'model' | 'expert' | 'store'> | undefined
}

/** An answer for a user that is being written. */
export interface LearnedAnswer extends Omit<UserAnswer, 'finish'> {
  /** To be called at its end, with the id of the response. */
  finish(
    generation: Parameters<UserAnswer['finish']>[0],
    response: { readonly id: string; readonly index: number } | undefined,
  ): Promise<void>
  /** To be called when the answer is over, with its end or without. */
  release(): void
}

export class UserLearning implements UserService {
  readonly #options: UserLearningOptions
  readonly #learners: OpenLearners
  readonly #responses: ResponseTurns

  constructor(options: UserLearningOptions) {
    this.#options = options
    this.#responses = new ResponseTurns(options.store)
    const { model, store, learner, engine } = options
    this.#learners = new OpenLearners({
      isLoaded: (key) => engine.experts.list().some((one) => one.key === key),
      create: (expert, scope) =>
        createLearner({
          ...learner,
          model,
          store: createScopedStore(store, scope),
          ...(expert && { expert: getAdapter(expert) }),
        }),
    })
  }

  /**
   * What an answer for a user needs, by the base or by an expert that can be learned on
   * (`canLearnOn`). Throws OptionError for an invalid user name.
   */
  async startAnswer(
    user: string,
    expert: AnsweringExpert | undefined,
    promptIds: readonly number[],
  ): Promise<LearnedAnswer> {
    const { learner, scope, release } = await this.#learners.hold(expert)
    const started = await learner.startAnswer(user, promptIds).catch((error: unknown) => {
      release()
      throw error
    })
    const { request, finish } = started
    return {
      request,
      release,
      finish: async (generation, response) => {
        const turn = await finish(generation)
        if (response)
          this.#responses.add({ responseId: response.id, index: response.index, user, scope, turn })
      },
    }
  }

  async feedback({
    responseId,
    index = 0,
    user: given,
    correction,
    ...signal
  }: FeedbackRequest): Promise<FeedbackOutcome> {
    const found = await this.#find(responseId, index, given)
    const { user, turn } = found
    return this.#use(found.scope, async ({ learner, name: expert }) => {
      const where = { user, expert, turn }
      if (correction !== undefined) {
        const { losses } = await learner.correct({ user, turn, completion: correction })
        await keepLearned(learner)
        const loss = losses.reduce((sum, one) => sum + one, 0) / Math.max(1, losses.length)
        return { ...where, loss }
      }
      const { feedback, quality, latencyRatio } = signal
      const { reward, advantage, surprise } = await learner.feedback({
        user,
        turn,
        ...(feedback && { feedback }),
        ...(quality !== undefined && { quality }),
        ...(latencyRatio !== undefined && { latencyRatio }),
      })
      await keepLearned(learner)
      return { ...where, reward, advantage, surprise }
    })
  }

  async listUsers(): Promise<readonly string[]> {
    await this.#flush()
    const names = await this.#options.store.users()
    return [...new Set(names.map((name) => splitScope(name).user))].toSorted()
  }

  async showUser(user: string): Promise<readonly ServedUserReport[]> {
    const reports = (await this.#listScopes(user)).map(async (scope): Promise<ServedUserReport> => {
      const found = await this.#findLearner(scope)
      if (!found) return { expert: undefined, key: scope.trim(), isLoaded: false }
      const { learner, name, key } = found
      try {
        return {
          expert: name,
          key,
          isLoaded: true,
          statistics: { ...(await learner.statistics(user)) },
          warnings: (await learner.warnings(user)).map(({ message }) => message),
          versions: (await learner.versions(user)).map(({ number, by, time }) => ({
            number,
            by,
            time,
          })),
        }
      } finally {
        found.release()
      }
    })
    return Promise.all(reports)
  }

  async listUserTurns(user: string): Promise<readonly UserTurnReport[]> {
    const { tokenizer } = this.#options.model.base
    const decode = (ids: readonly number[]): string => tokenizer?.decode(ids) ?? ids.join(' ')
    const reports: UserTurnReport[] = []
    for (const scope of await this.#listScopes(user)) {
      await this.#use(scope, async ({ learner, name }) => {
        for (const one of await learner.turns(user)) {
          const { turn, state, promptIds, answerIds, signal, replacedIds } = one
          const { queryEmbedding: _vector, ...shown } = signal ?? {}
          reports.push({
            expert: name,
            turn,
            state,
            prompt: decode(promptIds),
            answer: decode(answerIds),
            signal: signal && shown,
            ...(replacedIds && { replaced: decode(replacedIds) }),
          })
        }
      })
    }
    return reports
  }

  async forgetUser(user: string): Promise<void> {
    this.#responses.remove(user)
    await this.#learners.forEach((learner) => learner.forget(user))
    const { store, engine } = this.#options
    for (const name of await store.users())
      if (splitScope(name).user === user) await store.forget(name)
    await store.purge?.()
    await engine.forgetTenant(toTenant(user))
  }

  async forgetTurn(user: string, responseId: string, index = 0): Promise<ForgottenTurns> {
    const found = await this.#find(responseId, index, user)
    if (found.user !== user) throw createAbsence(responseId, user)
    const { turns, relearned } = await this.#use(found.scope, ({ learner }) =>
      learner.unlearn(user, found.turn),
    )
    await this.#options.engine.forgetTenant(toTenant(user))
    const removed = this.#responses.remove(user, found.scope, turns)
    await this.#responses.save()
    return { responseIds: [...new Set([responseId, ...removed])], turns, relearned }
  }

  /** Saves all users; the store stays open. */
  async close(): Promise<void> {
    await this.#responses.save()
    await this.#learners.close()
  }

  #flush(): Promise<void> {
    return this.#learners.forEach((learner) => learner.flush())
  }

  /** The learner of a loaded expert; undefined if its expert is not loaded. */
  async #findLearner(scope: string): Promise<HeldLearner | undefined> {
    const known = await this.#learners.find(scope)
    if (known) return known
    const handle = this.#options.engine.experts
      .list()
      .find((one) => computeScope(one.key) === scope && canLearnOn({ handle: one }))
    return handle && this.#learners.hold({ handle })
  }

  async #use<Result>(scope: string, work: (held: HeldLearner) => Promise<Result>): Promise<Result> {
    const held = await this.#findLearner(scope)
    if (held) return work(held).finally(held.release)
    throw new RequestError(
      `The stored state belongs to an expert that is not loaded now (sha256 ${scope.trim()}…). Load it again, then send this again.`,
      { status: 409, code: 'expert_not_loaded' },
    )
  }

  /** The experts with which something is stored for a user. */
  async #listScopes(user: string): Promise<string[]> {
    await this.#flush()
    const names = (await this.#options.store.users()).map(splitScope)
    const own = names.filter((name) => name.user === user)
    return own.map(({ scope }) => scope).toSorted() // the base first
  }

  async #find(responseId: string, index: number, user: string | undefined): Promise<ResponseTurn> {
    const names =
      user === undefined ? [] : (await this.#listScopes(user)).map((scope) => scope + user)
    const found = await this.#responses.find(responseId, index, names)
    if (!found || (user !== undefined && found.user !== user)) throw createAbsence(responseId, user)
    return found
  }
}

/** The tenant that `learner.startAnswer` gives a user's requests. */
const toTenant = (user: string): string => `user ${user}`

function getAdapter({ handle: { name, expert } }: AnsweringExpert): Adapter {
  assertInternal(expert && !isMixture(expert), `nobody can learn on ${name}`)
  return expert
}

function createAbsence(responseId: string, user: string | undefined): NotFoundError {
  const whose = user === undefined ? '' : ` of user ${JSON.stringify(user)}`
  const hint =
    user === undefined
      ? ' Answers can be rated where their request names a "user", and the base or one expert answers; of an earlier run of the server, give "user" here too.'
      : ''
  return new NotFoundError(
    `There is no response ${JSON.stringify(responseId.slice(0, 100))}${whose} that can be rated.${hint}`,
  )
}

/**
 * Feedback that was answered outlives the process. A store that fails does not stop answers: the
 * learner calls `onProblem`, keeps the user in memory and tries again.
 */
const keepLearned = (learner: Learner): Promise<void> => learner.flush().catch(() => undefined)
