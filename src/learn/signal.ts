// What comes back about an answer, and what it is worth: one reward from quality, verdict and time, against what this user's answers usually get.

import { OptionError } from '../base/errors.ts'

export interface LearningSignal {
  /** 0 to 1. */
  readonly quality?: number
  /** The user's verdict; counts as quality 1 or 0 where no quality is given. */
  readonly feedback?: 'up' | 'down'
  /** Time taken / time aimed at; 1 unless given. Twice the aim is worth nothing. */
  readonly latencyRatio?: number
  /** Which model or tier answered; kept with the statistics. */
  readonly tier?: string
  readonly contextTokens?: number
}

/** What a user's answers have got so far. */
export interface RewardRecord {
  count: number
  /** Running mean reward: what an answer is measured against. */
  baseline: number
  /** Running mean quality, for whoever watches for one-sided feedback. */
  quality: number
}

export const newRecord = (): RewardRecord => ({ count: 0, baseline: 0.5, quality: 0.5 })

const keep = 0.9 // of the baseline: the last ten answers or so

/** reward = quality · max(0, 2 − latencyRatio). Throws OptionError that names every value out of range. */
export function rewardOf({ quality, feedback, latencyRatio = 1, contextTokens = 0 }: LearningSignal): number {
  const given = quality ?? (feedback === 'up' ? 1 : feedback === 'down' ? 0 : undefined)
  const rules: readonly (readonly [boolean, string])[] = [
    [given !== undefined, 'there is neither a quality nor feedback'],
    [given === undefined || (given >= 0 && given <= 1), `quality is ${given}, expected a number from 0 to 1`],
    [latencyRatio >= 0 && Number.isFinite(latencyRatio), `latencyRatio is ${latencyRatio}, expected a number ≥ 0`],
    [contextTokens >= 0 && Number.isFinite(contextTokens), `contextTokens is ${contextTokens}, expected a number ≥ 0`],
  ]
  const broken = rules.flatMap(([holds, message]) => (holds ? [] : [message]))
  if (broken.length > 0) throw new OptionError(`This signal cannot be learned from: ${broken.join('; ')}.`)
  return given! * Math.max(0, 2 - latencyRatio)
}

/** How much better than usual, and the record moved on. */
export function advantageOf(record: RewardRecord, signal: LearningSignal): { reward: number; advantage: number } {
  const reward = rewardOf(signal)
  const advantage = reward - record.baseline
  const quality = signal.quality ?? (signal.feedback === 'up' ? 1 : 0)
  record.count++
  record.baseline = keep * record.baseline + (1 - keep) * reward
  record.quality = keep * record.quality + (1 - keep) * quality
  return { reward, advantage }
}
