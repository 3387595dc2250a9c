// One turn learned by one user: a right answer, or an answer and what it got. Knows no store and no
// schedule.

import type { Model } from '../../runtime/index.ts'
import type { CanaryGuard } from './canary-guard.ts'
import { type DeepTiers, learnDeep } from '../tiers/layer-tier-program.ts'
import { adapterOf, type Job, type LearnerUser, servedBy, type Turn } from '../user.ts'
import { noveltyOf, noveltyRate } from './novelty.ts'
import {
  addLoss,
  advantageOf,
  type LearningSignal,
  type RewardOptions,
  rewardOf,
  tokenWeights,
} from './reward.ts'
import type { Lesson, Reading } from '../tiers/tier-stack.ts'
import { type Asked, lessonOf, mean, type TurnLesson } from './turns.ts'

export interface FeedbackResult {
  readonly reward: number
  /** Reward − what this user's answers usually get: the sign says which way was learned. */
  readonly advantage: number
  readonly surprise: number
  /** 1 − the largest cosine to the user's last questions; where the signal had a queryEmbedding. */
  readonly novelty?: number
}

export interface TeachingParts {
  readonly model: Model
  readonly rewards: RewardOptions
  readonly guard: CanaryGuard
  readonly keptRows: number
  /** Where the learner's fast tier lies on layers. */
  readonly deep: DeepTiers | undefined
  /** The layer whose incoming states that tier and the memory stand on. */
  readonly layer: number | undefined
  /** Told of each turn that was learned. */
  readonly learned: (user: LearnerUser, job: Job) => void
}

type Taught = TurnLesson & Pick<Lesson, 'sights' | 'weights' | 'rate'>

/**
 * Hidden states as this user's model gives them: those that were kept, or one pass of the model.
 */
async function lesson(
  { model, layer }: TeachingParts,
  user: LearnerUser,
  turn: Turn,
): Promise<Taught> {
  const { hidden, sights, adapter, ids, promptTokens, states } = turn
  if (hidden && adapter === servedBy(user) && (layer === undefined || states))
    return {
      hidden,
      tokens: ids.slice(promptTokens),
      ...states,
      ...(sights?.student === user.student && { sights: sights.seen }),
    }
  return lessonOf(model, turn, servedBy(user), layer)
}

/** One step of everything that learns from turn to turn. */
async function taughtTo(
  user: LearnerUser,
  { states, ...taught }: Taught,
  { deep }: TeachingParts,
): Promise<Reading> {
  if (!user.deep || !deep || !states) return user.student.learn(taught)
  return learnDeep(user.deep, user.student, {
    ...taught,
    ...states,
    below: await deep.below(adapterOf(user)),
  })
}

/** Learns an answer that was right; the losses are those from before. */
export async function learnRight(
  user: LearnerUser,
  turn: Turn,
  parts: TeachingParts,
): Promise<Reading> {
  await parts.guard.before(user)
  const reading = await taughtTo(
    user,
    { ...(await lesson(parts, user, turn)), rate: user.guard.trust },
    parts,
  )
  addLoss(user.record, mean(reading.losses))
  await ended(user, { turn, signal: undefined }, mean(reading.losses), parts)
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
  parts: TeachingParts,
): Promise<FeedbackResult> {
  rewardOf(signal)
  await parts.guard.before(user)
  const novelty = signal.queryEmbedding && noveltyOf(user.queries, signal.queryEmbedding)
  const { reward, advantage, rate } = advantageOf(user.record, signal, parts.rewards)
  const result = { reward, advantage, ...(novelty !== undefined && { novelty }) }
  const taught = await lesson(parts, user, turn)
  const { tokens } = taught
  let surprise = 0
  let loss: number | undefined
  if (advantage !== 0 && tokens.length > 0) {
    const judged = { ...taught, weights: tokens.map(() => advantage) }
    const reading = await user.student.read(judged)
    surprise = reading.surprise
    if (advantage > 0) loss = mean(reading.losses)
    // What was said, likelier or less likely: the same step as for a right answer, longer the surer
    // the verdict and the less sure the model was.
    const length = Math.min(1, Math.abs(advantage)) * (0.5 + surprise)
    const whole =
      length * rate * user.guard.trust * (novelty === undefined ? 1 : noveltyRate(novelty))
    const weights = tokenWeights(advantage, reading.modelLosses)
    await taughtTo(user, { ...judged, weights, rate: whole }, parts)
  }
  await ended(user, { turn, signal }, loss, parts)
  return { ...result, surprise }
}

/** `loss`: what the answer cost before it was learned, where it is one to consolidate. */
async function ended(
  user: LearnerUser,
  job: Job,
  loss: number | undefined,
  { guard, keptRows, learned }: TeachingParts,
): Promise<void> {
  const { ids, promptTokens }: Asked = job.turn
  if (loss !== undefined) user.rows.push({ ids, promptTokens, loss })
  if (user.rows.length > keptRows) user.rows.shift()
  user.learned++
  learned(user, job)
  await guard.after(user)
}
