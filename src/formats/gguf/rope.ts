// RoPE scaling: from the keys and the tensor in which GGUF files store it to the `rope_parameters`
// of config.json.

import { UnsupportedError } from '../../base/errors.ts'
import type { GgufValues } from './values.ts'

/** Values of the tensors that hold RoPE scaling, where a file has them. */
export interface GgufRopeFactors {
  /** `rope_freqs.weight`: Llama 3's divisors. */
  readonly ropeFactors?: ArrayLike<number> | undefined
  /** `rope_factors_short.weight` and `rope_factors_long.weight`: longrope's divisors. */
  readonly shortFactors?: ArrayLike<number> | undefined
  readonly longFactors?: ArrayLike<number> | undefined
}

export interface RopeContext extends GgufRopeFactors {
  readonly tensors: { has(name: string): boolean }
  readonly headDim: number
  readonly contextTokens: number
}

type Parameters = Record<string, unknown>

/** The scalings of `<architecture>.rope.scaling.type`. */
const scalings: Readonly<
  Record<
    string,
    (values: GgufValues, key: (name: string) => string, context: RopeContext) => Parameters
  >
> = {
  none: () => ({ rope_type: 'default' }),
  linear: (values, key) => ({ rope_type: 'linear', factor: values.number(key('factor')) ?? 1 }),
  yarn: readYarn,
  longrope: readLongRope,
}

/**
 * `rope_parameters` with `rope_type` and `rope_theta`. Throws UnsupportedError for a scaling that
 * is not supported, by name.
 */
export function readGgufRope(values: GgufValues, prefix: string, context: RopeContext): Parameters {
  const theta = values.number(`${prefix}.rope.freq_base`) ?? 10_000
  const named = values.string(`${prefix}.rope.scaling.type`) ?? 'none'
  // The type is often left out, as that of Llama 3 always is: the tensors say it.
  const type = context.tensors.has('rope_factors_long.weight') ? 'longrope' : named
  const scaling = Object.hasOwn(scalings, type) ? scalings[type] : undefined
  if (!scaling) {
    throw new UnsupportedError(
      `GGUF RoPE scaling "${type}" is not supported; supported: ${Object.keys(scalings).join(', ')}, llama3.`,
    )
  }
  if (context.tensors.has('rope_freqs.weight'))
    return { ...readLlama3(context, theta), rope_theta: theta }
  return {
    ...scaling(values, (name) => `${prefix}.rope.scaling.${name}`, context),
    rope_theta: theta,
  }
}

function readYarn(
  values: GgufValues,
  key: (name: string) => string,
  { contextTokens }: RopeContext,
): Parameters {
  const factor = values.number(key('factor')) ?? 1
  const attention = values.number(key('attn_factor')) ?? values.number(key('yarn_attn_factor')) ?? 1
  const optional = {
    beta_fast: values.number(key('yarn_beta_fast')),
    beta_slow: values.number(key('yarn_beta_slow')),
  }
  return {
    rope_type: 'yarn',
    factor,
    original_max_position_embeddings:
      values.number(key('original_context_length')) ?? Math.floor(contextTokens / factor),
    // llama.cpp multiplies its factor with YaRN's own 0.1·ln(factor) + 1; config.json has the
    // product.
    ...(attention !== 1 && { attention_factor: attention * (0.1 * Math.log(factor) + 1) }),
    ...Object.fromEntries(Object.entries(optional).filter(([, value]) => value !== undefined)),
  }
}

function readLongRope(
  values: GgufValues,
  key: (name: string) => string,
  { shortFactors, longFactors, contextTokens }: RopeContext,
): Parameters {
  if (!shortFactors || !longFactors)
    throw new UnsupportedError(
      'GGUF RoPE scaling "longrope" needs the tensors rope_factors_short.weight and rope_factors_long.weight.',
    )
  const attention = values.number(key('attn_factor'))
  return {
    rope_type: 'longrope',
    short_factor: Array.from(shortFactors),
    long_factor: Array.from(longFactors),
    original_max_position_embeddings:
      values.number(key('original_context_length')) ?? contextTokens,
    ...(attention !== undefined && { attention_factor: attention }),
  }
}

/** What every Llama 3.1 and 3.2 was trained with; only the factor differs (8 and 32). */
const llama3Known = {
  low_freq_factor: 1,
  high_freq_factor: 4,
  original_max_position_embeddings: 8192,
}

/**
 * Llama 3's scaling is stored as the divisor of each frequency: the largest divisor is the factor.
 * The other parameters are the published ones, and the divisors that they give are checked against
 * the file's.
 */
function readLlama3({ ropeFactors, headDim }: RopeContext, theta: number): Parameters {
  if (!ropeFactors)
    throw new UnsupportedError(
      'GGUF: the file has rope_freqs.weight; its values are needed to read the RoPE scaling (option ropeFactors).',
    )
  const factors = Array.from(ropeFactors)
  const parameters = { rope_type: 'llama3', factor: Math.max(...factors), ...llama3Known }
  const expected = computeLlama3Divisors(parameters.factor, headDim, theta)
  const same =
    factors.length === expected.length &&
    expected.every((value, i) => Math.abs(value - factors[i]!) <= 1e-3 * value)
  if (!same)
    throw new UnsupportedError(
      "GGUF: rope_freqs.weight is not Llama 3's RoPE scaling; other frequency factors are not supported.",
    )
  return parameters
}

/**
 * Divisor of each of the d/2 frequencies: 1 for short waves, `factor` for long ones, smooth between
 * (Llama 3.1's rope).
 */
export function computeLlama3Divisors(factor: number, headDim: number, theta: number): number[] {
  const {
    low_freq_factor: low,
    high_freq_factor: high,
    original_max_position_embeddings: original,
  } = llama3Known
  return Array.from({ length: headDim / 2 }, (_, i) => {
    const waveLength = 2 * Math.PI * theta ** ((2 * i) / headDim)
    if (waveLength < original / high) return 1
    if (waveLength > original / low) return factor
    const smooth = (original / waveLength - low) / (high - low)
    return 1 / ((1 - smooth) / factor + smooth)
  })
}
