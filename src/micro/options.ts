// The options of a MicroLoRA: completed with defaults, checked as a whole. Knows nothing of what
// they do.

import { OptionError } from '../base/errors.ts'
import type { KernelName } from './kernels/context.ts'

/** The lengths of a target module's input and output. */
export interface ModuleDimensions {
  readonly inFeatures: number
  readonly outFeatures: number
}

/** What is learned of, and how; all of it is saved with the adapter. */
export interface MicroLoraSettings {
  /** 1 to 16; special kernels for 1 to 4. Default 2. */
  readonly rank: number
  /** The detour is scaled by alpha / rank. Default 2·rank. */
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

const requireRange = (from: number, to: number, what: string) => ({
  what,
  fits: (value: unknown): boolean => typeof value === 'number' && value >= from && value <= to,
})
const requireInteger = (from: number, to: number, what: string) => ({
  what,
  fits: (value: unknown): boolean =>
    Number.isInteger(value) && Number(value) >= from && Number(value) <= to,
})
const requireOneOf = (...values: unknown[]) => ({
  what: values.map((value) => JSON.stringify(value)).join(' or '),
  fits: (value: unknown): boolean => values.includes(value),
})

const tiny = Number.MIN_VALUE
const share = requireRange(0, 1 - Number.EPSILON, 'a number from 0 to below 1')
const positive = requireRange(tiny, 1e30, 'a number above 0')
const notNegative = requireRange(0, 1e30, '0 or a number above')
const bound = requireRange(tiny, Infinity, 'a number above 0, or Infinity')

/** Default and rule of every setting; a default may depend on what was given. */
const rules: {
  readonly [Key in keyof MicroLoraSettings]: {
    readonly rule: { what: string; fits: (value: unknown) => boolean }
    readonly byDefault: (given: OptionalSettings) => MicroLoraSettings[Key]
  }
} = {
  rank: { rule: requireInteger(1, 16, 'a whole number from 1 to 16'), byDefault: () => 2 },
  alpha: { rule: positive, byDefault: ({ rank = 2 }) => 2 * rank },
  dropout: { rule: share, byDefault: () => 0 },
  bias: { rule: requireOneOf(true, false), byDefault: () => false },
  seed: {
    rule: requireInteger(-(2 ** 31), 2 ** 32 - 1, 'a whole number of 32 bits'),
    byDefault: () => 0,
  },
  optimizer: { rule: requireOneOf('sgd', 'adam'), byDefault: () => 'sgd' },
  momentum: { rule: share, byDefault: ({ optimizer }) => (optimizer === 'adam' ? 0.9 : 0) },
  secondMomentum: { rule: share, byDefault: () => 0.999 },
  epsilon: { rule: positive, byDefault: () => 1e-8 },
  decay: { rule: notNegative, byDefault: () => 0 },
  clip: { rule: bound, byDefault: () => 1 },
  trustRadius: { rule: bound, byDefault: () => Infinity },
  ewc: { rule: requireOneOf(true, false), byDefault: () => false },
  ewcLambda: { rule: notNegative, byDefault: () => 1 },
  ewcKeep: { rule: share, byDefault: () => 0.9 },
  exploration: { rule: positive, byDefault: () => 0.1 },
  normalizeQuality: { rule: requireOneOf(true, false), byDefault: () => false },
  rate: { rule: requireOneOf('fixed', 'variance'), byDefault: () => 'fixed' },
  baselineKeep: { rule: share, byDefault: () => 0.9 },
  targetLatencyUs: {
    rule: { what: positive.what, fits: (value) => value === undefined || positive.fits(value) },
    byDefault: () => undefined,
  },
}

export const settingNames = Object.keys(rules) as (keyof MicroLoraSettings)[]

const describeValue = (value: unknown): string =>
  typeof value === 'number' ? String(value) : (JSON.stringify(value)?.slice(0, 60) ?? String(value))

/**
 * Modules by name; what is wrong goes to `problems`. Without a prototype, so that "__proto__" is a
 * name like others.
 */
function readModules(
  options: MicroLoraOptions,
  problems: string[],
): Record<string, ModuleDimensions> {
  const { modules, inFeatures = 768, outFeatures = 768 } = options
  if (modules && (options.inFeatures !== undefined || options.outFeatures !== undefined))
    problems.push('modules: have their own dimensions; leave inFeatures and outFeatures out')
  const entries = Object.entries(modules ?? { default: { inFeatures, outFeatures } })
  if (entries.length === 0) problems.push('modules: names none')
  const rule = requireInteger(1, 2 ** 24, 'a whole number from 1 to 16777216')
  const found: Record<string, ModuleDimensions> = Object.create(null)
  for (const [name, given] of entries) {
    if (name === '' || name.length > 200)
      problems.push(`modules: a name has 1 to 200 letters, got ${name.length}`)
    for (const key of ['inFeatures', 'outFeatures'] as const) {
      const value: unknown = given?.[key]
      if (!rule.fits(value))
        problems.push(
          `${modules ? `modules.${name.slice(0, 60)}.` : ''}${key}: got ${describeValue(value)}, expected ${rule.what}`,
        )
    }
    found[name] = { inFeatures: given?.inFeatures, outFeatures: given?.outFeatures }
  }
  return found
}

/** Everything that was given, completed. Throws one OptionError that lists all that is wrong. */
export function completeOptions(options: MicroLoraOptions): MicroLoraConfig {
  if (typeof options !== 'object' || options === null)
    throw new OptionError(`MicroLoRA: options: got ${String(options)}, expected an object.`)
  const problems: string[] = []
  const modules = readModules(options, problems)
  const settings: Record<string, unknown> = {}
  for (const name of settingNames) {
    const { rule, byDefault } = rules[name]
    const value: unknown = options[name] ?? byDefault(options)
    if (!rule.fits(value))
      problems.push(`${name}: got ${describeValue(value)}, expected ${rule.what}`)
    settings[name] = value
  }
  const known = new Set<string>([
    ...settingNames,
    'inFeatures',
    'outFeatures',
    'modules',
    'kernels',
  ])
  for (const name of Object.keys(options))
    if (!known.has(name)) problems.push(`${name}: there is no such option`)
  if (problems.length > 0) throw new OptionError(`MicroLoRA: ${problems.join('; ')}.`)
  return { ...(settings as unknown as MicroLoraSettings), modules }
}
