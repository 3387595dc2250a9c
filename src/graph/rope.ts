// Tables of rotary angles: the cosine and sine of every position, with the scalings that extend a
// trained context. Follows transformers' modeling_rope_utils, also in rounding to f32 where it
// does: at position 8,000 the difference is visible.

import { type F32Tensor, f32 } from '../base/tensor.ts'
import type { ModelConfig, RopeConfig, RopeScaling } from './model-config.ts'

export interface RopeTables {
  readonly cos: F32Tensor // [P, r/2]
  readonly sin: F32Tensor // [P, r/2]
}

/** The angle of each pair from one position to the next, and the factor of cosines and sines. */
interface Frequencies {
  readonly perPosition: Float32Array // [r/2]
  readonly factor: number
}

interface Context {
  readonly rope: RopeConfig
  readonly maxPositions: number
  /** Length of the whole sequence, the cached part included. */
  readonly sequenceLength: number
}

/** θ^(−2i/r), i = 0 … r/2 − 1 */
function computePlainFrequencies(theta: number, width: number): Float32Array {
  return Float32Array.from(
    { length: width / 2 },
    (_, i) => 1 / Math.fround(theta ** Math.fround((2 * i) / width)),
  )
}

type Rule = (scaling: RopeScaling, context: Context) => Frequencies

/** The scalings by type. Only dynamic depends on the length of the sequence. */
const rules: Readonly<Record<RopeScaling['type'], Rule>> = {
  linear: ({ factor }, { rope }) => ({
    perPosition: computePlainFrequencies(rope.theta, rope.width).map(
      (frequency) => frequency / factor,
    ),
    factor: 1,
  }),
  dynamic: computeDynamicFrequencies,
  yarn: computeYarnFrequencies,
  llama3: computeLlama3Frequencies,
  longrope: computeLongRopeFrequencies,
}

/**
 * NTK-aware: θ grows with the sequence, θ·(factor·L/M − factor + 1)^(r/(r−2)) for a length L beyond
 * the trained M.
 */
function computeDynamicFrequencies(
  { factor }: RopeScaling,
  { rope: { theta, width }, maxPositions, sequenceLength }: Context,
): Frequencies {
  const length = Math.max(sequenceLength, maxPositions)
  const stretched =
    theta * ((factor * length) / maxPositions - (factor - 1)) ** (width / (width - 2))
  return { perPosition: computePlainFrequencies(stretched, width), factor: 1 }
}

const computeYarnMagnitude = (factor: number, scale = 1): number =>
  factor <= 1 ? 1 : 0.1 * scale * Math.log(factor) + 1

/**
 * YaRN (Peng et al. 2023): fast pairs are unchanged, slow ones are divided by the factor, with a
 * ramp in between; cos and sin are scaled up.
 */
function computeYarnFrequencies(
  scaling: RopeScaling,
  { rope: { theta, width }, maxPositions }: Context,
): Frequencies {
  const {
    factor,
    originalMaxPositions = maxPositions,
    mscale,
    mscaleAllDim,
    truncate = true,
  } = scaling
  // The pair that makes this many turns within the original context.
  const pairOf = (turns: number): number =>
    (width * Math.log(originalMaxPositions / (turns * 2 * Math.PI))) / (2 * Math.log(theta))
  const first = pairOf(scaling.betaFast || 32)
  const last = pairOf(scaling.betaSlow || 1) // the paper's own bounds
  const low = Math.max(truncate ? Math.floor(first) : first, 0)
  const high = Math.min(truncate ? Math.ceil(last) : last, width - 1)
  const span = low === high ? 0.001 : high - low // never zero
  const perPosition = computePlainFrequencies(theta, width).map((frequency, i) => {
    const slow = Math.min(1, Math.max(0, (i - low) / span))
    return (frequency / factor) * slow + frequency * (1 - slow)
  })
  const magnitude =
    mscale && mscaleAllDim
      ? computeYarnMagnitude(factor, mscale) / computeYarnMagnitude(factor, mscaleAllDim)
      : computeYarnMagnitude(factor)
  return { perPosition, factor: scaling.attentionFactor ?? magnitude }
}

/**
 * Llama 3.1: long waves are divided by the factor, short ones are unchanged, and those in between
 * are interpolated.
 */
function computeLlama3Frequencies(
  scaling: RopeScaling,
  { rope: { theta, width }, maxPositions }: Context,
): Frequencies {
  const {
    factor,
    originalMaxPositions = maxPositions,
    lowFrequencyFactor = 1,
    highFrequencyFactor = 4,
  } = scaling
  const perPosition = computePlainFrequencies(theta, width).map((frequency) => {
    const waveLength = (2 * Math.PI) / frequency
    if (waveLength < originalMaxPositions / highFrequencyFactor) return frequency
    if (waveLength > originalMaxPositions / lowFrequencyFactor) return frequency / factor
    const smooth =
      (originalMaxPositions / waveLength - lowFrequencyFactor) /
      (highFrequencyFactor - lowFrequencyFactor)
    return ((1 - smooth) * frequency) / factor + smooth * frequency
  })
  return { perPosition, factor: 1 }
}

/**
 * LongRoPE (Ding et al. 2024): each frequency has its own divisor, one list for contexts up to the
 * original one and one beyond it. The list is chosen by the context with which the model is opened,
 * not by the sequence's length, because a token's keys are cached and shared, and must be the same
 * in all sequences.
 */
function computeLongRopeFrequencies(
  scaling: RopeScaling,
  { rope: { theta, width }, maxPositions }: Context,
): Frequencies {
  const { factor, originalMaxPositions = maxPositions, shortFactor = [], longFactor = [] } = scaling
  const divisors = maxPositions > originalMaxPositions ? longFactor : shortFactor
  const perPosition = Float32Array.from({ length: width / 2 }, (_, i) => {
    const period = Math.fround(theta ** Math.fround((2 * i) / width))
    return 1 / Math.fround(Math.fround(divisors[i]!) * period)
  })
  return {
    perPosition,
    factor: scaling.attentionFactor ?? computeLongRopeMagnitude(factor, originalMaxPositions),
  }
}

/** sqrt(1 + ln factor / ln original); 1 without scaling. */
export const computeLongRopeMagnitude = (factor: number, original: number): number =>
  factor <= 1 ? 1 : Math.sqrt(1 + Math.log(factor) / Math.log(original))

/**
 * cos and sin of position·frequency for the positions 0 … length − 1, each [length, r/2], f32.
 * Dynamic scaling also depends on the whole sequence's length, `length` by default.
 */
export const computeRopeTables = (
  rope: RopeConfig,
  config: Pick<ModelConfig, 'maxPositions'>,
  length: number,
  sequenceLength = length,
): RopeTables =>
  computeRopeRows(
    rope,
    config,
    Array.from({ length }, (_, position) => position),
    sequenceLength,
  )

/** The same of some positions: a row for each of them. */
export function computeRopeRows(
  rope: RopeConfig,
  { maxPositions }: Pick<ModelConfig, 'maxPositions'>,
  positions: readonly number[],
  sequenceLength: number,
): RopeTables {
  const { perPosition, factor } = rope.scaling
    ? rules[rope.scaling.type](rope.scaling, { rope, maxPositions, sequenceLength })
    : { perPosition: computePlainFrequencies(rope.theta, rope.width), factor: 1 }
  const half = perPosition.length
  const cos = f32([positions.length, half])
  const sin = f32([positions.length, half])
  for (const [row, position] of positions.entries()) {
    for (let i = 0; i < half; i++) {
      const angle = Math.fround(position * perPosition[i]!)
      cos.data[row * half + i] = Math.cos(angle) * factor
      sin.data[row * half + i] = Math.sin(angle) * factor
    }
  }
  return { cos, sin }
}

/**
 * Tokens a context may hold: `max_position_embeddings`, times the factor where that number is the
 * length before stretching.
 */
export function computeContextLimit({
  maxPositions,
  rope: { main },
}: Pick<ModelConfig, 'maxPositions' | 'rope'>): number {
  const { scaling } = main
  return scaling && (scaling.type === 'linear' || scaling.type === 'dynamic')
    ? Math.floor(maxPositions * scaling.factor)
    : maxPositions
}

/** The last tables made for a config's rope: longer ones serve shorter sequences. */
const cachedTables = new WeakMap<
  RopeConfig,
  { readonly tables: RopeTables; readonly sequenceLength: number }
>()

const SHORTEST = 64 // rows of the first table, so that short prompts share it

/**
 * Tables of at least `length` rows, memoised by the rope: a power of two of rows, made again only
 * when a longer one is needed, or when dynamic scaling meets a sequence of another length beyond
 * the trained context.
 */
export function getSharedRopeTables(
  rope: RopeConfig,
  config: Pick<ModelConfig, 'maxPositions'>,
  length: number,
  sequenceLength = length,
): RopeTables {
  const dynamicLength =
    rope.scaling?.type === 'dynamic' ? Math.max(sequenceLength, config.maxPositions) : 0
  const known = cachedTables.get(rope)
  if (known && known.sequenceLength === dynamicLength && known.tables.cos.shape[0]! >= length)
    return known.tables
  const rows = 2 ** Math.ceil(Math.log2(Math.max(length, SHORTEST)))
  const tables = computeRopeTables(rope, config, rows, dynamicLength)
  cachedTables.set(rope, { tables, sequenceLength: dynamicLength })
  return tables
}
