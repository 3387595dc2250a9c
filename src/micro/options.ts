// The options of a MicroLoRA as a table of fields: checked as a whole, completed with defaults.

import { OptionError } from '../base/errors.ts'
import {
  type Fields,
  findOptionProblems,
  flag,
  integer,
  isRecord,
  joinProblems,
  number,
  oneOf,
  type OptionFields,
} from '../base/schema.ts'
import { type KernelName, kernelNames } from './kernels/context.ts'
import {
  completeModules,
  dimension,
  findModuleProblems,
  type Modules,
  modulesField,
  type ModuleSet,
  targetsField,
} from './target-modules.ts'

/** Settings that are saved with the adapter. */
export interface MicroLoraSettings {
  /** 1 to 16; special kernels for 1 to 4. Default 2. */
  readonly rank: number
  /** The low-rank update is scaled by alpha / rank. Default 2·rank. */
  readonly alpha: number
  /**
   * Share of the input that is left out when `adapt` computes the output itself, 0 to below 1.
   * Default 0.
   */
  readonly dropout: number
  /** Whether a bias is learned too. Default false. */
  readonly bias: boolean
  /**
   * How A starts: uniform in ±1/√in ('kaiming'), or in ±√(2/in) ('random', as ruvllm's
   * `new_random`); B starts at zero. Default 'kaiming'.
   */
  readonly init: 'kaiming' | 'random'
  /** The same seed gives the same A, dropout and exploration everywhere. Default 0. */
  readonly seed: number
  /** 'sgd', or 'adam', whose steps do not depend on the size of the gradient. Default 'sgd'. */
  readonly optimizer: 'sgd' | 'adam'
  /** Share of the past in the average gradient, 0 to below 1. Default 0 for sgd, 0.9 for adam. */
  readonly momentum: number
  /** Adam's share of the past in the average square. Default 0.999. */
  readonly secondMomentum: number
  /** Adam's ε. Default 1e-8. */
  readonly epsilon: number
  /**
   * Weights shrink by learning rate × weightDecay at every step (decoupled, as in AdamW). Default
   * 0.
   */
  readonly weightDecay: number
  /**
   * The mean gradient's norm is cut to this, times the mean of min(1, |advantage|) where rewards
   * made it: a clear rating moves further than a weak one. Default 1; Infinity for no bound.
   */
  readonly clip: number
  /**
   * No step moves the weights further than this (Euclidean, before decay and EWC). Default
   * Infinity.
   */
  readonly trustRadius: number
  /**
   * Keeps importance and anchor for `applyUpdatesWithEwc`: three more numbers for every weight.
   * Default false.
   */
  readonly ewc: boolean
  /** λ of EWC where a call gives none. Default 1. */
  readonly ewcLambda: number
  /** Share of earlier tasks in the importance at each `consolidate`. Default 0.9. */
  readonly ewcKeep: number
  /**
   * Standard deviation of the noise that `explore` adds and that the score of what was emitted is
   * taken with. Default 0.1.
   */
  readonly exploration: number
  /** Divides advantages by the qualities' standard deviation. Default false. */
  readonly normalizeQuality: boolean
  /**
   * 'variance' divides the rate by 1 + 4·variance of the qualities: noisy feedback moves less.
   * 'times-variance' multiplies it by 1 + variance, as ruvllm's pages do: it moves more. Default
   * 'fixed'.
   */
  readonly rate: 'fixed' | 'variance' | 'times-variance'
  /** Share of the past in the running baseline of rewards. Default 0.9. */
  readonly baselineKeep: number
  /**
   * With it, feedback that has a latency is worth quality × max(0, 2 − latency / target).
   * Microseconds.
   */
  readonly targetLatencyUs: number | undefined
}

type OptionalSettings = {
  readonly [Key in keyof MicroLoraSettings]?: MicroLoraSettings[Key] | undefined
}

export interface MicroLoraOptions extends OptionalSettings {
  /** For one module, called 'default', or for all targets. Default 768. */
  readonly inFeatures?: number | undefined
  readonly outFeatures?: number | undefined
  /** Several modules by their names or sets of names: 'attention', ['mlp', 'lm_head']. */
  readonly targets?: ModuleSet | (string & {}) | readonly string[] | undefined
  /** Several modules with their dimensions, by name; with `targets`, only those that differ. */
  readonly modules?: Modules | undefined
  /** Default: the fastest that run here. Not saved. */
  readonly kernels?: KernelName | undefined
}

/** Options that are complete and right. */
export interface MicroLoraConfig extends MicroLoraSettings {
  readonly modules: Modules
}

const share = number({ from: 0, below: 1 })
const positive = number({ above: 0, to: 1e30 })
const notNegative = number({ from: 0, to: 1e30 })
const bound = number({ above: 0, to: Infinity })

const settingFields: OptionFields<MicroLoraSettings> = {
  rank: integer({ from: 1, to: 16 }),
  alpha: positive,
  dropout: share,
  bias: flag(),
  init: oneOf(['kaiming', 'random']),
  seed: integer({ from: -(2 ** 31), to: 2 ** 32 - 1 }),
  optimizer: oneOf(['sgd', 'adam']),
  momentum: share,
  secondMomentum: share,
  epsilon: positive,
  weightDecay: notNegative,
  clip: bound,
  trustRadius: bound,
  ewc: flag(),
  ewcLambda: notNegative,
  ewcKeep: share,
  exploration: positive,
  normalizeQuality: flag(),
  rate: oneOf(['fixed', 'variance', 'times-variance']),
  baselineKeep: share,
  targetLatencyUs: positive,
}

const fields: Fields = {
  inFeatures: dimension,
  outFeatures: dimension,
  targets: targetsField,
  modules: modulesField,
  kernels: oneOf(kernelNames),
  ...settingFields,
}

/** Settings with defaults; some depend on others. */
function completeSettings(given: MicroLoraOptions): MicroLoraSettings {
  const { rank = 2, optimizer = 'sgd' } = given
  return {
    rank,
    alpha: given.alpha ?? 2 * rank,
    dropout: given.dropout ?? 0,
    bias: given.bias ?? false,
    init: given.init ?? 'kaiming',
    seed: given.seed ?? 0,
    optimizer,
    momentum: given.momentum ?? (optimizer === 'adam' ? 0.9 : 0),
    secondMomentum: given.secondMomentum ?? 0.999,
    epsilon: given.epsilon ?? 1e-8,
    weightDecay: given.weightDecay ?? 0,
    clip: given.clip ?? 1,
    trustRadius: given.trustRadius ?? Infinity,
    ewc: given.ewc ?? false,
    ewcLambda: given.ewcLambda ?? 1,
    ewcKeep: given.ewcKeep ?? 0.9,
    exploration: given.exploration ?? 0.1,
    normalizeQuality: given.normalizeQuality ?? false,
    rate: given.rate ?? 'fixed',
    baselineKeep: given.baselineKeep ?? 0.9,
    targetLatencyUs: given.targetLatencyUs,
  }
}

const decayProblem =
  'decay: say momentum (the share of the past in the average gradient, which ruvllm calls decay) or weightDecay (weights shrink)'

/** Everything that was given, completed. Throws one OptionError that lists all that is wrong. */
export function completeOptions(options: MicroLoraOptions): MicroLoraConfig {
  if (!isRecord(options))
    throw new OptionError(`MicroLoRA options: got ${String(options)}, expected an object.`)
  const { decay, ...given } = options as MicroLoraOptions & { readonly decay?: unknown }
  const problems = findOptionProblems(given, fields)
  if (decay !== undefined) problems.push(decayProblem)
  if (problems.length === 0) problems.push(...findModuleProblems(given))
  if (problems.length > 0) throw new OptionError(`MicroLoRA options: ${joinProblems(problems)}`)
  return { ...completeSettings(given), modules: completeModules(given) }
}
