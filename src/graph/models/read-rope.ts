// Reads the parameters of rotary angles: `rope_parameters` of transformers 5, or the older
// `rope_theta` with `rope_scaling`.

import { FormatError, UnsupportedError } from '../../base/errors.ts'
import type { RopeConfig, RopeScaling } from '../model-config.ts'

type JsonObject = Readonly<Record<string, unknown>>

interface RopeDefaults {
  readonly headWidth: number
  readonly maxPositions: number
  readonly theta: number
}

type Need = (key: string) => number
type Optional = (key: string) => number | undefined

/** The source of a scaling. */
interface ScalingSource {
  readonly need: Need
  readonly optional: Optional
  readonly parameters: JsonObject
  /** The original context, before scaling. */
  readonly original: number
  /** How many values of each head are rotated. */
  readonly width: number
}

/** The scalings by `rope_type`; each names the keys it reads. */
const scalings: Readonly<Record<string, (source: ScalingSource) => RopeScaling>> = {
  linear: ({ need }) => ({ type: 'linear', factor: need('factor') }),
  dynamic: ({ need }) => ({ type: 'dynamic', factor: need('factor') }),
  llama3: ({ need, original }) => ({
    type: 'llama3',
    factor: need('factor'),
    lowFrequencyFactor: need('low_freq_factor'),
    highFrequencyFactor: need('high_freq_factor'),
    originalMaxPositions: original,
  }),
  yarn: ({ need, optional, parameters, original }) => ({
    type: 'yarn',
    factor: need('factor'),
    originalMaxPositions: original,
    truncate: parameters.truncate !== false,
    ...removeUndefined({
      betaFast: optional('beta_fast'),
      betaSlow: optional('beta_slow'),
      attentionFactor: optional('attention_factor'),
      mscale: optional('mscale'),
      mscaleAllDim: optional('mscale_all_dim'),
    }),
  }),
  longrope: readLongRope,
  su: readLongRope, // the older name, of Phi-3's first files
}

function readLongRope({ need, optional, parameters, original, width }: ScalingSource): RopeScaling {
  return {
    type: 'longrope',
    factor: need('factor'),
    originalMaxPositions: original,
    shortFactor: readDivisors(parameters, 'short_factor', width / 2),
    longFactor: readDivisors(parameters, 'long_factor', width / 2),
    ...removeUndefined({ attentionFactor: optional('attention_factor') }),
  }
}

function readDivisors(parameters: JsonObject, key: string, count: number): readonly number[] {
  const value = parameters[key]
  const isDivisor = (one: unknown): one is number =>
    typeof one === 'number' && Number.isFinite(one) && one > 0
  if (Array.isArray(value) && value.length === count && value.every(isDivisor)) return value
  const got = Array.isArray(value)
    ? `${value.length} entries${value.every(isDivisor) ? '' : ', not all of them numbers above 0'}`
    : (JSON.stringify(value) ?? 'nothing')
  throw new FormatError(
    `RoPE scaling "longrope": "${key}" has ${got}, expected ${count} numbers above 0, one for each frequency.`,
  )
}

/** Scalings whose factor is the ratio of the context to the original one if the config has none. */
const withDerivedFactor: ReadonlySet<unknown> = new Set(['yarn', 'longrope', 'su'])

const removeUndefined = <T extends object>(
  fields: T,
): { [K in keyof T]?: Exclude<T[K], undefined> } =>
  Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined)) as {
    [K in keyof T]?: Exclude<T[K], undefined>
  }

/**
 * The main table of a config. Older files keep theta next to it, and the parameters in
 * `rope_scaling`, which wins as in transformers. Throws UnsupportedError for a scaling that is not
 * supported, FormatError for a value that is missing or no number.
 */
export function readRope(json: JsonObject, defaults: RopeDefaults): RopeConfig {
  return readRopeParameters(
    (json.rope_scaling ?? json.rope_parameters ?? {}) as JsonObject,
    json,
    defaults,
  )
}

/**
 * A table from its own parameters; missing ones are taken from the config, then from the defaults.
 */
export function readRopeParameters(
  parameters: JsonObject,
  json: JsonObject,
  { headWidth, maxPositions, theta }: RopeDefaults,
): RopeConfig {
  const optional = (key: string): number | undefined => readNumber(parameters, key)
  const type = parameters.rope_type ?? parameters.type ?? 'default'
  if (
    Object.values(parameters).some(
      (value) => typeof value === 'object' && value !== null && !Array.isArray(value),
    )
  ) {
    throw new UnsupportedError(
      'config.json: rotary parameters by type of layer are not supported for this architecture.',
    )
  }
  if (parameters.mrope_section)
    throw new UnsupportedError('config.json: multimodal RoPE ("mrope_section") is not supported.')
  const partial =
    optional('partial_rotary_factor') ?? readNumber(json, 'partial_rotary_factor') ?? 1
  const rope = {
    theta: optional('rope_theta') ?? readNumber(json, 'rope_theta') ?? theta,
    width: computeRotaryWidth(headWidth, partial),
  }
  if (type === 'default') return rope
  const read =
    typeof type === 'string' && Object.hasOwn(scalings, type) ? scalings[type] : undefined
  if (!read) {
    throw new UnsupportedError(
      `config.json: RoPE scaling ${JSON.stringify(type)} is not supported; supported: default, ${Object.keys(scalings).join(', ')}.`,
    )
  }
  // A value outside of the parameters comes first (transformers' standardize_rope_params).
  const original =
    readNumber(json, 'original_max_position_embeddings') ??
    optional('original_max_position_embeddings') ??
    maxPositions
  const need = (key: string): number => {
    const value =
      optional(key) ??
      (key === 'factor' && withDerivedFactor.has(type) ? maxPositions / original : undefined)
    if (value === undefined)
      throw new FormatError(`config.json: RoPE scaling "${type}" needs "${key}".`)
    return value
  }
  const { width } = rope
  return { ...rope, scaling: read({ need, optional, parameters, original, width }) }
}

function computeRotaryWidth(headWidth: number, partial: number): number {
  const width = Math.trunc(headWidth * partial)
  if (width >= 2 && width <= headWidth && width % 2 === 0) return width
  throw new UnsupportedError(
    `config.json: ${width} of ${headWidth} numbers of a head would turn; expected an even count, at least 2.`,
  )
}

function readNumber(json: JsonObject, key: string): number | undefined {
  const value = json[key]
  if (value === undefined || value === null) return undefined
  if (typeof value === 'number' && Number.isFinite(value)) return value
  throw new FormatError(`config.json: "${key}" is ${JSON.stringify(value)}, expected a number.`)
}
