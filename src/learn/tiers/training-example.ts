// What tiers over a head learn from and return: examples of hidden states and target tokens, what
// serving observed at them, and scores. Independent of the tiers.

import { joinProblems } from '../../base/schema.ts'
import { OptionError } from '../../base/errors.ts'
import type { Head } from '../../runtime/index.ts'
import type { LogitSummary } from './logit-summary.ts'
import type { Retrieval } from './retrieval.ts'

/** Hidden states [T, D] and the token that followed each. */
export interface TrainingExample {
  readonly hidden: Float32Array
  readonly tokens: readonly number[]
  /**
   * The memory's keys of the positions, [T, D]: states of a lower layer, say. Default: `hidden`.
   */
  readonly keys?: Float32Array
  /** Weight of each position. Default 1. Below zero: the token gets less likely. */
  readonly weights?: readonly number[] | undefined
  /** Multiplies the fast tier's learning rate. */
  readonly rate?: number
  /** Whether the gradient at the hidden states is returned even without a fast tier here. */
  readonly wantsGradient?: boolean
  /**
   * What `observe` or `predict` returned at these states: parts that are still valid are not
   * computed again.
   */
  readonly observations?: readonly Observation[]
}

/** What serving computes at a hidden state and learning can reuse. */
export interface Observation {
  readonly summary: LogitSummary
  readonly retrieval: Retrieval | undefined
  /** Versions of the tiers: an observation is valid until they change. */
  readonly versions: { readonly fast: object | undefined; readonly memory: object | undefined }
}

export interface Scores {
  /**
   * −log p(token) of the mixed distribution, and of the model with the fast tier alone, before
   * anything is learned.
   */
  readonly losses: Float32Array // [T]
  readonly modelLosses: Float32Array // [T]
  /** Mean of 1 − p(token) of the mixed distribution where weights are not 0. */
  readonly surprise: number
}

export interface UpdateResult extends Scores {
  /**
   * ∂(mean weighted loss of the model)/∂hidden [T, D] before the step, for tiers on lower layers.
   * Zeros where no gradient was wanted.
   */
  readonly gradient: Float32Array
}

/** The weights of an example, 1 if there are none. Throws OptionError for an unusable example. */
export function resolveWeights(
  { hidden, keys = hidden, tokens, weights = tokens.map(() => 1), observations }: TrainingExample,
  { width, vocabularySize }: Pick<Head, 'width' | 'vocabularySize'>,
): readonly number[] {
  const count = tokens.length
  const isToken = (token: number): boolean =>
    Number.isInteger(token) && token >= 0 && token < vocabularySize
  const checks: readonly (string | false)[] = [
    count === 0 && 'tokens is empty',
    !(hidden.length === count * width && keys.length === hidden.length) &&
      `hidden has ${hidden.length} numbers and keys ${keys.length}, expected ${count} states of ${width}`,
    !(weights.length === count && weights.every(Number.isFinite)) &&
      `weights has ${weights.length} numbers, expected one finite number for each of ${count} tokens`,
    observations !== undefined &&
      observations.length !== count &&
      `observations has ${observations.length} entries, expected one for each of ${count} tokens`,
    !tokens.every(isToken) && `a token is outside of the vocabulary of ${vocabularySize}`,
  ]
  const problems = checks.filter((problem) => problem !== false)
  if (problems.length > 0)
    throw new OptionError(`This training example cannot be learned: ${joinProblems(problems)}`)
  return weights
}
