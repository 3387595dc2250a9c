// One turn learned by one user: a right answer, or an answer and what it got. Knows no store and no
// schedule.

import { addLoss } from '../../micro/reward.ts'
import type { Model } from '../../runtime/index.ts'
import type { CanaryGuard } from './canary-guard.ts'
import { type LayerTiers, learnLayers } from '../tiers/layer-tier-program.ts'
import {
  getSlowAdapter,
  type TurnUpdate,
  type LearnerUser,
  getServingExpert,
  type Turn,
} from '../user.ts'
import { measureNovelty, computeNoveltyRate } from './novelty.ts'
import {
  scoreSignal,
  type LearningSignal,
  type RewardOptions,
  computeReward,
  computeTokenWeights,
} from './reward.ts'
import type { TrainingExample, Scores } from '../tiers/tier-stack.ts'
import { type EncodedTurn, computeTurnStates, computeMean, type TurnStates } from './turns.ts'

export interface FeedbackResult {
  readonly reward: number
  /** Reward − what this user's answers usually get: the sign says which way was learned. */
  readonly advantage: number
  readonly surprise: number
  /** 1 − the largest cosine to the user's last questions; where the signal had a queryEmbedding. */
  readonly novelty?: number
}

export interface LearnTurnParts {
  readonly model: Model
  readonly rewards: RewardOptions
  readonly guard: CanaryGuard
  readonly keptRows: number
  /** Where the learner's fast tier lies on layers. */
  readonly layerTiers: LayerTiers | undefined
  /** The layer whose incoming states that tier and the memory stand on. */
  readonly layer: number | undefined
  /** Told of each turn that was learned. */
  readonly onLearned: (user: LearnerUser, job: TurnUpdate) => void
}

type WeightedTurn = TurnStates & Pick<TrainingExample, 'observations' | 'weights' | 'rate'>

/**
 * Hidden states as this user's model gives them: those that were kept, or one pass of the model.
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

/** One step of everything that learns from turn to turn. */
async function stepTiers(
  user: LearnerUser,
  { layerInput, ...taught }: WeightedTurn,
  { layerTiers }: LearnTurnParts,
): Promise<Scores> {
  if (!user.layerTier || !layerTiers || !layerInput) return user.tiers.learn(taught)
  return learnLayers(user.layerTier, user.tiers, {
    ...taught,
    ...layerInput,
    below: await layerTiers.below(getSlowAdapter(user)),
  })
}

/** Learns an answer that was right; the losses are those from before. */
export async function learnCompletion(
  user: LearnerUser,
  turn: Turn,
  parts: LearnTurnParts,
): Promise<Scores> {
  await parts.guard.checkBeforeUpdate(user)
  const reading = await stepTiers(
    user,
    { ...(await getTurnStates(parts, user, turn)), rate: user.guard.trust },
    parts,
  )
  addLoss(user.record, computeMean(reading.losses))
  await finishTurn(user, { turn, signal: undefined }, computeMean(reading.losses), parts)
  return reading
}

/**
 * Learns from what an answer got. Throws OptionError for a signal out of range, and nothing has
 * changed then.
 */
export async function learnFeedback(
  user: LearnerUser,
  turn: Turn,
  signal: LearningSignal,
  parts: LearnTurnParts,
): Promise<FeedbackResult> {
  computeReward(signal)
  await parts.guard.checkBeforeUpdate(user)
  const novelty = signal.queryEmbedding && measureNovelty(user.queries, signal.queryEmbedding)
  const { reward, advantage, rate } = scoreSignal(user.record, signal, parts.rewards)
  const result = { reward, advantage, ...(novelty !== undefined && { novelty }) }
  const taught = await getTurnStates(parts, user, turn)
  const { tokens } = taught
  let surprise = 0
  let loss: number | undefined
  if (advantage !== 0 && tokens.length > 0) {
    const judged = { ...taught, weights: tokens.map(() => advantage) }
    const reading = await user.tiers.score(judged)
    surprise = reading.surprise
    if (advantage > 0) loss = computeMean(reading.losses)
    // What was said, likelier or less likely: the same step as for a right answer, longer the surer
    // the verdict and the less sure the model was.
    const length = Math.min(1, Math.abs(advantage)) * (0.5 + surprise)
    const whole =
      length * rate * user.guard.trust * (novelty === undefined ? 1 : computeNoveltyRate(novelty))
    const weights = computeTokenWeights(advantage, reading.modelLosses)
    await stepTiers(user, { ...judged, weights, rate: whole }, parts)
  }
  await finishTurn(user, { turn, signal }, loss, parts)
  return { ...result, surprise }
}

/** `loss`: what the answer cost before it was learned, where it is one to consolidate. */
async function finishTurn(
  user: LearnerUser,
  job: TurnUpdate,
  loss: number | undefined,
  { guard, keptRows, onLearned }: LearnTurnParts,
): Promise<void> {
  const { ids, promptTokens }: EncodedTurn = job.turn
  if (loss !== undefined) user.rows.push({ ids, promptTokens, loss })
  if (user.rows.length > keptRows) user.rows.shift()
  user.learned++
  onLearned(user, job)
  await guard.checkAfterUpdate(user)
}
