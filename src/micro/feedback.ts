// What a user, a test or a program says about an output, and what it is worth. Numbers in, numbers
// out; knows no weights.

import { OptionError } from '../base/errors.ts'
import { discountByLatency } from './reward.ts'

/**
 * Any of these may be left out, but one must say in which direction to move: target, gradient,
 * emitted, or an output that `explore` gave.
 */
export interface Feedback {
  /** 0 (bad) to 1 (good). */
  readonly quality?: number | undefined
  /** Any number, more is better. Where it is missing, the quality is taken. */
  readonly reward?: number | undefined
  /** Thumbs up or down: a quality of 1 or 0. */
  readonly verdict?: 'good' | 'bad' | undefined
  /** What the output should have been [out]: the loss is ½‖base + y − target‖². */
  readonly target?: Float32Array | undefined
  /**
   * ∂L/∂y [out] of a loss of the caller's own: softmax minus one-hot at a head whose loss is the
   * cross-entropy.
   */
  readonly gradient?: Float32Array | undefined
  /**
   * What was given out, to be made likelier or less likely by the reward: the output itself [out],
   * or which of `out` classes was chosen.
   */
  readonly emitted?: Float32Array | number | undefined
  /** What the layer beside the adapter gave [out]; zeros where it is missing. */
  readonly base?: Float32Array | undefined
  /** How long the answer took. Counts with the option targetLatencyUs. */
  readonly latencyUs?: number | undefined
  /** Which module; needed where there are several. */
  readonly sourceModule?: string | undefined
  /** Which conversation: ties a reward to what `explore` gave out in the same one. */
  readonly sessionId?: string | undefined
}

const names = new Set<string>([
  'quality',
  'reward',
  'verdict',
  'target',
  'gradient',
  'emitted',
  'base',
  'latencyUs',
  'sourceModule',
  'sessionId',
])

const isNumber = (value: unknown, from: number, to: number): boolean =>
  typeof value === 'number' && value >= from && value <= to

/**
 * Throws one OptionError that lists all that is wrong with the plain values; lengths are checked
 * where the vectors are used.
 */
export function checkFeedback(feedback: Feedback): void {
  if (typeof feedback !== 'object' || feedback === null)
    throw new OptionError(
      `feedback: got ${String(feedback)}, expected an object with a target, a gradient, or a reward, quality or verdict.`,
    )
  const { quality, reward, verdict, target, gradient, emitted, base, latencyUs, sessionId } =
    feedback
  let problems: string[] | undefined
  const complain = (text: string): void => void (problems ??= []).push(text)
  if (quality !== undefined && !isNumber(quality, 0, 1))
    complain(`quality: got ${quality}, expected a number from 0 to 1`)
  if (reward !== undefined && !isNumber(reward, -1e6, 1e6))
    complain(`reward: got ${reward}, expected a number from -1e6 to 1e6`)
  if (verdict !== undefined && verdict !== 'good' && verdict !== 'bad')
    complain(`verdict: got ${String(verdict)}, expected 'good' or 'bad'`)
  if (latencyUs !== undefined && !isNumber(latencyUs, 0, 1e15))
    complain(`latencyUs: got ${latencyUs}, expected microseconds`)
  if (sessionId !== undefined && (typeof sessionId !== 'string' || sessionId.length > 1000))
    complain('sessionId: expected at most 1000 letters')
  if (quality !== undefined && verdict !== undefined)
    complain('quality and verdict: give one of them')
  if (target !== undefined && gradient !== undefined)
    complain('target and gradient: give one of them')
  if (emitted !== undefined && (target ?? gradient) !== undefined)
    complain('emitted: belongs to a reward; leave it out beside a target or gradient')
  if (base !== undefined && gradient !== undefined)
    complain('base: has no meaning beside a gradient, which is taken as it is')
  for (const name in feedback) if (!names.has(name)) complain(`${name}: there is no such field`)
  if (problems) throw new OptionError(`feedback: ${problems.join('; ')}.`)
}

export const qualityOf = ({ quality, verdict }: Feedback): number | undefined =>
  quality ?? (verdict === undefined ? undefined : verdict === 'good' ? 1 : 0)

/**
 * The reward; else quality × max(0, 2 − latency / target latency), or the quality alone where there
 * are no latencies.
 */
export function computeFeedbackReward(
  feedback: Feedback,
  targetLatencyUs: number | undefined,
): number | undefined {
  if (feedback.reward !== undefined) return feedback.reward
  const quality = qualityOf(feedback)
  if (quality === undefined || targetLatencyUs === undefined || feedback.latencyUs === undefined)
    return quality
  return discountByLatency(quality, feedback.latencyUs / targetLatencyUs)
}
