// Feedback on an output by a user, a test or a program, and its reward. Independent of: weights.

import { OptionError } from '../base/errors.ts'
import {
  areOptionsRight,
  createField,
  findOptionProblems,
  flag,
  isRecord,
  joinProblems,
  number,
  oneOf,
  type OptionFields,
} from '../base/schema.ts'
import { discountByLatency } from './reward.ts'

/** Fields that all feedback may have. */
export interface FeedbackFigures {
  /** 0 (bad) to 1 (good). */
  readonly quality?: number | undefined
  /** Any number, more is better. Where it is missing, the quality is taken. */
  readonly reward?: number | undefined
  /** Thumbs up or down: a quality of 1 or 0. */
  readonly verdict?: 'good' | 'bad' | undefined
  /** How long the answer took. Counts with the option targetLatencyUs. */
  readonly latencyUs?: number | undefined
  /** Which module; needed where there are several. */
  readonly sourceModule?: string | undefined
  /** Which conversation: a reward belongs to what `explore` returned in the same one. */
  readonly sessionId?: string | undefined
}

type Without<Name extends string> = { readonly [Key in Name]?: undefined }

/** What the output should have been. */
export interface TargetFeedback
  extends FeedbackFigures, Without<'gradient' | 'emitted' | 'explored'> {
  /** [out]: the loss is ½‖base + y − target‖². */
  readonly target: Float32Array
  /** The output of the adapted layer [out]. Default zeros. */
  readonly base?: Float32Array | undefined
}

/** The gradient of a loss of the caller's own. */
export interface GradientFeedback
  extends FeedbackFigures, Without<'target' | 'emitted' | 'explored' | 'base'> {
  /** ∂L/∂y [out]: softmax minus one-hot at a head whose loss is the cross-entropy. */
  readonly gradient: Float32Array
}

/** The output that was given, made more or less likely by the reward, quality or rating. */
export interface EmittedFeedback
  extends FeedbackFigures, Without<'target' | 'gradient' | 'explored'> {
  /** The vector itself [out], or which of `out` classes was chosen. */
  readonly emitted: Float32Array | number
  readonly base?: Float32Array | undefined
}

/** The same with the last output of `explore` in this session. */
export interface ExploredFeedback
  extends FeedbackFigures, Without<'target' | 'gradient' | 'emitted'> {
  readonly explored: true
  readonly base?: Float32Array | undefined
}

/**
 * Feedback on an output. One field gives the direction: target, gradient, emitted, or explored. A
 * quality alone does not, so it is a type error.
 */
export type Feedback = TargetFeedback | GradientFeedback | EmittedFeedback | ExploredFeedback

const isGiven = (value: unknown): boolean => value !== null

/** All fields, whichever belong together. */
interface FeedbackFields extends FeedbackFigures {
  readonly target?: Float32Array | undefined
  readonly gradient?: Float32Array | undefined
  readonly emitted?: Float32Array | number | undefined
  readonly explored?: boolean | undefined
  readonly base?: Float32Array | undefined
}

const fields: OptionFields<FeedbackFields> = {
  quality: number({ from: 0, to: 1 }),
  reward: number({ from: -1e6, to: 1e6 }),
  verdict: oneOf(['good', 'bad']),
  // lengths and values of vectors are checked where they are used
  target: createField('a Float32Array', {}, isGiven),
  gradient: createField('a Float32Array', {}, isGiven),
  emitted: createField('a Float32Array or the number of a class', {}, isGiven),
  base: createField('a Float32Array', {}, isGiven),
  explored: flag(),
  latencyUs: number({ from: 0, to: 1e15 }),
  sourceModule: createField('the name of a module', {}, isGiven),
  sessionId: createField(
    'a string of at most 1000 characters',
    { type: 'string', maxLength: 1000 },
    (value) => typeof value === 'string' && value.length <= 1000,
  ),
}

/** Fields that exclude each other. */
function listConflicts(feedback: FeedbackFields): string[] {
  const { quality, verdict, target, gradient, emitted, explored, base } = feedback
  const conflicts: string[] = []
  if (quality !== undefined && verdict !== undefined)
    conflicts.push('quality and verdict: give one of them')
  if (target !== undefined && gradient !== undefined)
    conflicts.push('target and gradient: give one of them')
  if (emitted !== undefined && (target ?? gradient) !== undefined)
    conflicts.push('emitted: belongs to a reward; leave it out with a target or gradient')
  if (explored && (emitted ?? target ?? gradient) !== undefined)
    conflicts.push('explored: leave it out with a target, a gradient or an emitted output')
  if (base !== undefined && gradient !== undefined)
    conflicts.push('base: has no meaning with a gradient, which is used unchanged')
  return conflicts
}

/** Whether any two of the fields may exclude each other; without making a list. */
const hasConflictingFields = ({
  quality,
  verdict,
  target,
  gradient,
  emitted,
  explored,
}: FeedbackFields): boolean =>
  gradient !== undefined ||
  explored === true ||
  (quality !== undefined && verdict !== undefined) ||
  (emitted !== undefined && target !== undefined)

/**
 * Throws one OptionError that lists every unknown field and every wrong value; lengths of vectors
 * are checked where they are used.
 */
export function checkFeedback(feedback: Feedback): void {
  if (!isRecord(feedback))
    throw new OptionError(
      `feedback: got ${String(feedback)}, expected an object with a target, a gradient, or a reward, quality or verdict.`,
    )
  if (areOptionsRight(feedback, fields) && !hasConflictingFields(feedback)) return
  const problems = [...findOptionProblems(feedback, fields), ...listConflicts(feedback)]
  if (problems.length > 0) throw new OptionError(`feedback: ${joinProblems(problems)}`)
}

export const qualityOf = ({ quality, verdict }: FeedbackFigures): number | undefined =>
  quality ?? (verdict === undefined ? undefined : verdict === 'good' ? 1 : 0)

/**
 * The reward; else quality × max(0, 2 − latency / target latency), or the quality alone if there
 * are no latencies.
 */
export function computeFeedbackReward(
  feedback: FeedbackFigures,
  targetLatencyUs: number | undefined,
): number | undefined {
  if (feedback.reward !== undefined) return feedback.reward
  const quality = qualityOf(feedback)
  if (quality === undefined || targetLatencyUs === undefined || feedback.latencyUs === undefined)
    return quality
  return discountByLatency(quality, feedback.latencyUs / targetLatencyUs)
}
