// One turn learned by one user: a right answer, or an answer and its signal. Independent of stores
// and schedules.

import type { Adapter } from '../../adapters/adapter.ts'
import { addLoss } from '../../micro/reward.ts'
import type { Model } from '../../runtime/index.ts'
import type { LayerTiers } from '../tiers/layer-tier-program.ts'
import { learnLayers } from '../tiers/learn-layers.ts'
import type { TierStack } from '../tiers/tier-stack.ts'
import type { Scores, TrainingExample } from '../tiers/training-example.ts'
import { computeMean } from '../turns/measure-loss.ts'
import { computeNoveltyRate, measureNovelty } from '../turns/novelty.ts'
import {
  computeReward,
  computeTokenWeights,
  type LearningSignal,
  type RewardOptions,
  scoreSignal,
} from '../turns/reward.ts'
import type { Turn, TurnUpdate } from '../turns/turn.ts'
import { computeTurnStates, type TurnStates } from '../turns/turn-states.ts'
import { addLearnedEntry } from '../users/history.ts'
import { getServingExpert, getSlowAdapter, type LearnerUser } from '../users/user.ts'
import type { CanaryGuard } from './canary-guard.ts'

export interface FeedbackResult {
  readonly reward: number
  /** Reward − this user's usual reward: its sign is the direction that was learned. */
  readonly advantage: number
  readonly surprise: number
  /**
   * 1 − the largest cosine to the user's last questions; only for signals with a queryEmbedding.
   */
  readonly novelty?: number
}

/** Losses from before a completion was learned. */
export interface CompletionScores extends Scores {
  /** The turn's number, for `unlearn`. */
  readonly turn: number
  /** Of the frozen base model, where they were asked for. */
  readonly frozenLosses?: Scores['losses']
}

export interface LearnTurnParts {
  readonly model: Model
  readonly rewards: RewardOptions
  readonly guard: CanaryGuard
  /** What users start from: undefined for the base. */
  readonly expert: Adapter | undefined
  /** The frozen model's head, without any tier. */
  readonly baseline: TierStack
  readonly keptRows: number
  /** Learned turns that can be unlearned. */
  readonly keptHistory: number
  /** The program of fast tiers on layers, if the learner has them. */
  readonly layerTiers: LayerTiers | undefined
  /** The layer whose input states those tiers and the memory use. */
  readonly layer: number | undefined
  /** Called after each learned turn. */
  readonly onLearned: (user: LearnerUser, update: TurnUpdate) => void
}

type WeightedTurn = TurnStates & Pick<TrainingExample, 'observations' | 'weights' | 'rate'>

/**
 * Hidden states under the user's current model: those of serving, or from one pass of the model.
 */
async function getTurnStates(
  { model, layer }: LearnTurnParts,
  user: LearnerUser,
  turn: Turn,
): Promise<WeightedTurn> {
  const { hidden, observed, adapter, ids, promptTokens, layerStates } = turn
  if (hidden && adapter === getServingExpert(user) && (layer === undefined || layerStates))
    return {
      hidden,
      tokens: ids.slice(promptTokens),
      ...layerStates,
      ...(observed?.tiers === user.tiers && { observations: observed.observations }),
    }
  return computeTurnStates(model, turn, getServingExpert(user), layer)
}

/** One step of all tiers that learn from turn to turn. */
async function stepTiers(
  user: LearnerUser,
  { layerInput, ...example }: WeightedTurn,
  { layerTiers }: LearnTurnParts,
): Promise<Scores> {
  if (!user.layerTier || !layerTiers || !layerInput) return user.tiers.learn(example)
  return learnLayers(user.layerTier, user.tiers, {
    ...example,
    ...layerInput,
    below: await layerTiers.below(getSlowAdapter(user)),
  })
}

/** Losses of the frozen base model; without an expert its states are those of the user's model. */
async function scoreFrozen(
  parts: LearnTurnParts,
  user: LearnerUser,
  turn: Turn,
  states: TurnStates,
): Promise<Scores['losses']> {
  const { model, baseline } = parts
  const { expert } = parts
  const frozen =
    getServingExpert(user) === expert ? states : await computeTurnStates(model, turn, expert)
  return (await baseline.score(frozen)).losses
}

/** Learns an answer that was right; returns the losses from before. */
export async function learnCompletion(
  user: LearnerUser,
  { number, turn, replaced }: Omit<TurnUpdate, 'signal'>,
  parts: LearnTurnParts,
  wantsFrozenLosses = false,
): Promise<CompletionScores> {
  await parts.guard.checkBeforeUpdate(user)
  const states = await getTurnStates(parts, user, turn)
  const frozenLosses = wantsFrozenLosses && (await scoreFrozen(parts, user, turn, states))
  const scores = await stepTiers(user, { ...states, rate: user.guard.stepScale }, parts)
  const loss = computeMean(scores.losses)
  addLoss(user.record, loss)
  await finishTurn(user, { number, turn, signal: undefined, replaced }, loss, parts)
  return Object.assign(scores, { turn: number, ...(frozenLosses && { frozenLosses }) })
}

/**
 * Learns from an answer's signal. Throws OptionError for a signal out of range, and nothing has
 * changed then.
 */
export async function learnFeedback(
  user: LearnerUser,
  { number, turn }: Omit<TurnUpdate, 'signal'>,
  signal: LearningSignal,
  parts: LearnTurnParts,
): Promise<FeedbackResult> {
  computeReward(signal)
  await parts.guard.checkBeforeUpdate(user)
  const novelty = signal.queryEmbedding && measureNovelty(user.queries, signal.queryEmbedding)
  const { reward, advantage, rate } = scoreSignal(user.record, signal, parts.rewards)
  const states = await getTurnStates(parts, user, turn)
  let surprise = 0
  let loss: number | undefined
  if (advantage !== 0 && states.tokens.length > 0) {
    const example = { ...states, weights: states.tokens.map(() => advantage) }
    const scores = await user.tiers.score(example)
    surprise = scores.surprise
    if (advantage > 0) loss = computeMean(scores.losses)
    // The same step as for a right answer, towards the answer or away from it: larger for a larger
    // advantage and a less certain model.
    const size = Math.min(1, Math.abs(advantage)) * (0.5 + surprise)
    const noveltyRate = novelty === undefined ? 1 : computeNoveltyRate(novelty)
    const weights = computeTokenWeights(advantage, scores.modelLosses)
    const scaled = size * rate * user.guard.stepScale * noveltyRate
    await stepTiers(user, { ...example, weights, rate: scaled }, parts)
  }
  await finishTurn(user, { number, turn, signal }, loss, parts)
  return { reward, advantage, ...(novelty !== undefined && { novelty }), surprise }
}

/** `loss`: before the turn was learned; undefined for a turn that is not to be consolidated. */
async function finishTurn(
  user: LearnerUser,
  update: TurnUpdate,
  loss: number | undefined,
  { guard, keptRows, keptHistory, onLearned }: LearnTurnParts,
): Promise<void> {
  const { number, signal, replaced } = update
  const { ids, promptTokens } = update.turn
  if (loss !== undefined) user.rows.push({ number, ids, promptTokens, loss })
  if (user.rows.length > keptRows) user.rows.shift()
  const entry = { number, ids, promptTokens, signal, loss, ...(replaced && { replaced }) }
  addLearnedEntry(user.history, entry, keptHistory)
  user.learned++
  onLearned(user, update)
  await guard.checkAfterUpdate(user)
}
