// The options of a MicroLoRA as a table of fields: checked as a whole, completed with defaults.

import { OptionError } from '../base/errors.ts'
import {
  createField,
  type Field,
  type Fields,
  findOptionProblems,
  flag,
  integer,
  isRecord,
  joinProblems,
  number,
  object,
  oneOf,
  type OptionFields,
} from '../base/schema.ts'
import { type KernelName, kernelNames } from './kernels/context.ts'

/** The lengths of a target module's input and output. */
export interface ModuleDimensions {
  readonly inFeatures: number
  readonly outFeatures: number
}

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
  /** Weights shrink by learning rate × decay at every step (decoupled, as in AdamW). Default 0. */
  readonly decay: number
  /** The mean gradient's norm is cut to this. Default 1; Infinity for no bound. */
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
   * Default 'fixed'.
   */
  readonly rate: 'fixed' | 'variance'
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
  /** For one module, called 'default'. Default 768. */
  readonly inFeatures?: number | undefined
  readonly outFeatures?: number | undefined
  /** For several modules, by name. */
  readonly modules?: Readonly<Record<string, ModuleDimensions>> | undefined
  /** Default: the fastest that run here. Not saved. */
  readonly kernels?: KernelName | undefined
}

/** Options that are complete and right. */
export interface MicroLoraConfig extends MicroLoraSettings {
  readonly modules: Readonly<Record<string, ModuleDimensions>>
}

const share = number({ from: 0, below: 1 })
const positive = number({ above: 0, to: 1e30 })
const notNegative = number({ from: 0, to: 1e30 })
const bound = number({ above: 0, to: Infinity })
const size = integer({ from: 1, to: 2 ** 24 })
const longestName = 200

const dimensions = object({ inFeatures: size, outFeatures: size })

/** Module dimensions by name; problems have the path, as in `modules.q.inFeatures`. */
const modulesField: Field<Readonly<Record<string, ModuleDimensions>>> = {
  ...createField(
    `an object with one module or more, names of 1 to ${longestName} characters`,
    { type: 'object', additionalProperties: dimensions.schema, minProperties: 1 },
    (value) =>
      isRecord(value) &&
      Object.keys(value).length > 0 &&
      Object.entries(value).every(
        ([name, own]) => name !== '' && name.length <= longestName && isComplete(own),
      ),
  ),
  findProblems(value, path) {
    if (!isRecord(value) || Object.keys(value).length === 0)
      return [`${path}: got ${JSON.stringify(value)}, expected an object with one module or more`]
    return Object.entries(value).flatMap(([name, own]) => {
      const where = `${path}.${name.slice(0, 60)}`
      if (name === '' || name.length > longestName)
        return [`${where}: got a name of ${name.length} characters, expected 1 to ${longestName}`]
      const problems = dimensions.findProblems(own, where)
      return problems.length > 0 || isComplete(own)
        ? problems
        : [`${where}: expected both inFeatures and outFeatures`]
    })
  },
}

const isComplete = (value: unknown): boolean =>
  dimensions.is(value) && value.inFeatures !== undefined && value.outFeatures !== undefined

const settingFields: OptionFields<MicroLoraSettings> = {
  rank: integer({ from: 1, to: 16 }),
  alpha: positive,
  dropout: share,
  bias: flag(),
  seed: integer({ from: -(2 ** 31), to: 2 ** 32 - 1 }),
  optimizer: oneOf(['sgd', 'adam']),
  momentum: share,
  secondMomentum: share,
  epsilon: positive,
  decay: notNegative,
  clip: bound,
  trustRadius: bound,
  ewc: flag(),
  ewcLambda: notNegative,
  ewcKeep: share,
  exploration: positive,
  normalizeQuality: flag(),
  rate: oneOf(['fixed', 'variance']),
  baselineKeep: share,
  targetLatencyUs: positive,
}

const fields: Fields = {
  inFeatures: size,
  outFeatures: size,
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
    seed: given.seed ?? 0,
    optimizer,
    momentum: given.momentum ?? (optimizer === 'adam' ? 0.9 : 0),
    secondMomentum: given.secondMomentum ?? 0.999,
    epsilon: given.epsilon ?? 1e-8,
    decay: given.decay ?? 0,
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

/** Without a prototype, so that "__proto__" is a name like others. */
function completeModules({
  modules,
  inFeatures = 768,
  outFeatures = 768,
}: MicroLoraOptions): Record<string, ModuleDimensions> {
  const complete: Record<string, ModuleDimensions> = Object.create(null)
  for (const [name, own] of Object.entries(modules ?? { default: { inFeatures, outFeatures } }))
    complete[name] = { inFeatures: own.inFeatures, outFeatures: own.outFeatures }
  return complete
}

/** Everything that was given, completed. Throws one OptionError that lists all that is wrong. */
export function completeOptions(options: MicroLoraOptions): MicroLoraConfig {
  if (!isRecord(options))
    throw new OptionError(`MicroLoRA options: got ${String(options)}, expected an object.`)
  const problems = findOptionProblems(options, fields)
  if (options.modules && (options.inFeatures ?? options.outFeatures) !== undefined)
    problems.push('modules: have their own dimensions; leave inFeatures and outFeatures out')
  if (problems.length > 0) throw new OptionError(`MicroLoRA options: ${joinProblems(problems)}`)
  return { ...completeSettings(options), modules: completeModules(options) }
}
