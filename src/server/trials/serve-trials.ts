// A service that tries new versions of registered experts: a share of the requests for `coder` is
// answered by the candidate, and users' feedback votes for the version that answered. A candidate
// that is worse beyond the interval gets no more requests.

import { GraftError } from '../../base/errors.ts'
import { parseReference } from '../../registry/reference.ts'
import type { Registry } from '../../registry/registry.ts'
import { assignSide } from '../../route/trials/assign-side.ts'
import { findLook, judgeVotes } from '../../route/trials/judge-votes.ts'
import type { Trial, TrialStore } from '../../route/trials/trial.ts'
import { replaceMethods } from '../accounts/replace-methods.ts'
import { readModelName } from '../local/choose-expert.ts'
import { listNames, replaceNames } from '../registered/name-experts.ts'
import { toRequestError } from '../error-response.ts'
import type { AnswerEvent, AnswerRequest, Service } from '../service.ts'
import type { FeedbackOutcome, FeedbackRequest } from '../user-service.ts'

export interface TrialServiceParts {
  readonly registry: Pick<Registry, 'resolve'>
  readonly trials: TrialStore
  /** Withdraws versions that learned from a user. */
  readonly withdrawUser: (user: string) => Promise<unknown>
  /** Receives errors that no request can report. */
  readonly onFailure: (what: string, error: unknown) => void
  readonly createId: () => string
}

/** Wraps a service whose requests may name registered experts. */
export async function createTriedService(
  given: Service,
  parts: TrialServiceParts,
): Promise<Service> {
  const { name, aliases } = await given.describe()
  const tried = new TriedRequests(given, parts, [name, ...aliases])
  return replaceMethods(given, {
    generate: (request, signal) => answerTried(given, tried, request, signal),
    feedback: (request) => tried.takeFeedback(request),
    async forgetUser(user) {
      await parts.trials.forgetVoter(user)
      await parts.withdrawUser(user)
      try {
        await given.forgetUser(user)
      } catch (error) {
        if (!isLearningOff(error)) throw error // what is stored of a user here is removed
      }
    },
  })
}

async function* answerTried(
  given: Service,
  tried: TriedRequests,
  request: AnswerRequest,
  signal: AbortSignal | undefined,
): AsyncGenerator<AnswerEvent, void> {
  yield* given.generate(await tried.assign(request), signal)
}

const isLearningOff = (error: unknown): boolean => toRequestError(error).code === 'learning_off'

/** A thumb or a quality as a reward; a correction means that the answer was not good. */
function toReward({ feedback, quality, correction }: FeedbackRequest): number {
  if (quality !== undefined) return quality
  return correction === undefined && feedback === 'up' ? 1 : 0
}

class TriedRequests {
  readonly #given: Service
  readonly #parts: TrialServiceParts
  readonly #baseNames: readonly string[]
  /** By trial: the last look that was judged. */
  readonly #judged = new Map<number, number>()

  constructor(given: Service, parts: TrialServiceParts, baseNames: readonly string[]) {
    this.#given = given
    this.#parts = parts
    this.#baseNames = baseNames
  }

  /** The request with names of experts under trial replaced by one of their two versions. */
  async assign(request: AnswerRequest): Promise<AnswerRequest> {
    if (request.model === undefined) return request
    const spec = readModelName(request.model, this.#baseNames)
    const responseId = request.responseId ?? this.#parts.createId()
    const who = request.user ?? request.tenant ?? responseId
    const names = new Map<string, string>()
    for (const name of listNames(spec)) {
      const trial = await this.#findTrial(name)
      if (!trial) continue
      const side = assignSide(trial, who)
      names.set(name, `${trial.id}@${trial[side]}`)
      const voter = request.user ?? responseId
      await this.#parts.trials.addAnswer({ trial: trial.number, responseId, side, voter })
    }
    if (names.size === 0) return request
    return { ...request, responseId, model: replaceNames(spec, names) }
  }

  /**
   * The trial that a name takes part in: the name has no version, range or hash, and means the
   * version that the trial compares with.
   */
  async #findTrial(name: string): Promise<Trial | undefined> {
    const reference = parseName(name)
    if (!reference || !['latest', 'channel'].includes(reference.choice.type)) return undefined
    const trial = await this.#parts.trials.findRunning(reference.id)
    if (!trial) return undefined
    const loaded = await this.#given.listExperts()
    if (loaded.some((one) => one.name === name && one.isRegistered !== true)) return undefined
    const meant = await this.#parts.registry.resolve(name).catch((error: unknown) => {
      if (GraftError.isInstance(error)) return undefined // the request gets the error
      throw error
    })
    return meant?.version === trial.incumbent ? trial : undefined
  }

  async takeFeedback(request: FeedbackRequest): Promise<FeedbackOutcome> {
    const { responseId, index = 0 } = request
    const reward = toReward(request)
    const trial = await this.#parts.trials.vote(responseId, index, reward)
    if (!trial) return this.#given.feedback(request)
    await this.#endWorse(trial).catch((error: unknown) =>
      this.#parts.onFailure(`the trial of ${trial.id} could not be judged`, error),
    )
    try {
      return await this.#given.feedback(request)
    } catch (error) {
      // a vote needs neither a learner nor a user
      if (!isLearningOff(error) && toRequestError(error).status !== 404) throw error
      return { user: request.user ?? '', expert: trial.id, turn: 0, reward }
    }
  }

  /** Ends a trial whose candidate is worse; once at each look. */
  async #endWorse(trial: Trial): Promise<void> {
    if (trial.state !== 'running') return
    const { trials } = this.#parts
    const votes = await trials.listVotes(trial.number)
    const look = findLook(votes, trial.leastVoters)?.number ?? -1
    if (look <= (this.#judged.get(trial.number) ?? -1)) return
    this.#judged.set(trial.number, look)
    const { verdict, candidate, incumbent } = judgeVotes(votes, trial)
    if (verdict !== 'worse') return
    const reason = `Votes: ${candidate.score.toFixed(3)} against ${incumbent.score.toFixed(3)}.`
    await trials.end(trial.number, { state: 'rolled-back', reason })
  }
}

function parseName(name: string): ReturnType<typeof parseReference> | undefined {
  try {
    return parseReference(name)
  } catch (error) {
    if (GraftError.isInstance(error)) return undefined
    throw error
  }
}
