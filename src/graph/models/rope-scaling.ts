// A scaling of rotary positions that is chosen when a model is opened, for contexts longer than it
// was trained on. Written into the config as a checkpoint would have it.

import { OptionError } from '../../base/errors.ts'
import {
  listOf,
  number,
  object,
  oneOf,
  type OptionFields,
  positiveInteger,
} from '../../base/schema.ts'
import type { JsonObject } from './read-config.ts'

/**
 * linear: positions divided by the factor (Chen et al. 2023, arXiv:2306.15595). dynamic: the base
 * grows with the sequence (NTK-aware). yarn: by frequency (Peng et al. 2023, arXiv:2309.00071).
 * llama3: by frequency, as Llama 3.1 was trained. longrope: by lists of divisors that were searched
 * for the model (Ding et al. 2024, arXiv:2402.13753).
 */
export interface RopeScalingOptions {
  readonly type: 'linear' | 'dynamic' | 'yarn' | 'llama3' | 'longrope'
  /**
   * The ratio of the new context to the trained one: 4 gives a model of 2,048 tokens a context of
   * 8,192. Longrope may leave it out: the context is then the config's.
   */
  readonly factor?: number | undefined
  /** The trained context. Default: the config's. */
  readonly originalContext?: number | undefined
  /**
   * longrope: a divisor of each frequency, for a context of at most the trained one. Default: the
   * config's.
   */
  readonly shortFactor?: readonly number[] | undefined
  /** longrope: the same for a longer context. */
  readonly longFactor?: readonly number[] | undefined
}

const divisors = listOf(number({ above: 0 }), { least: 1 })

const scalingFields = {
  type: oneOf<RopeScalingOptions['type']>(['linear', 'dynamic', 'yarn', 'llama3', 'longrope']),
  factor: number({ from: 1 }),
  originalContext: positiveInteger,
  shortFactor: divisors,
  longFactor: divisors,
} satisfies OptionFields<RopeScalingOptions>

export const ropeScalingField = object(scalingFields, {
  about: 'a scaling of rotary positions for longer contexts: { type, factor }',
})

/** Llama 3.1's band of frequencies. */
const llama3Band = { low_freq_factor: 1, high_freq_factor: 4 }

/**
 * The config with this scaling in place of its own, and a longer context. Throws OptionError if
 * something is missing, or the config does not say its context.
 */
export function withRopeScaling(json: JsonObject, scaling: RopeScalingOptions): JsonObject {
  checkScaling(scaling)
  const trained = scaling.originalContext ?? readTrainedContext(json)
  const context = computeContext(json, scaling, trained)
  const { type, factor } = scaling
  // For these two, the config has the trained context, and readers multiply it.
  const isMultiplied = type === 'linear' || type === 'dynamic'
  return {
    ...json,
    ...keepAngles(json),
    rope_scaling:
      type === 'longrope'
        ? toLongRope(json, scaling, context / trained)
        : { rope_type: type, factor, ...(type === 'llama3' ? llama3Band : undefined) },
    rope_parameters: undefined,
    original_max_position_embeddings: trained,
    max_position_embeddings: isMultiplied ? trained : context,
  }
}

function checkScaling({ type, factor, shortFactor, longFactor }: RopeScalingOptions): void {
  if (type === undefined || (factor === undefined && type !== 'longrope'))
    throw new OptionError('ropeScaling: expected { type, factor }.')
  if (type !== 'longrope' && (shortFactor ?? longFactor) !== undefined)
    throw new OptionError(
      `ropeScaling: shortFactor and longFactor are of type "longrope", got type "${type}".`,
    )
}

/** The context of the scaled model in tokens. */
function computeContext(json: JsonObject, { factor }: RopeScalingOptions, trained: number): number {
  if (factor !== undefined) return Math.floor(trained * factor)
  return readContext(json)
}

function toLongRope(
  json: JsonObject,
  { shortFactor, longFactor }: RopeScalingOptions,
  stretch: number,
): JsonObject {
  const own = getOwnScaling(json)
  const short = shortFactor ?? own.short_factor
  const long = longFactor ?? own.long_factor
  if (!short || !long)
    throw new OptionError(
      "ropeScaling: longrope needs shortFactor and longFactor, because the model's config has none.",
    )
  const isOwn = shortFactor === undefined && longFactor === undefined
  return {
    rope_type: 'longrope',
    short_factor: short,
    long_factor: long,
    // The config's lists require its attention factor, for any part of its context.
    factor: isOwn ? (own.factor ?? readContext(json) / readTrainedContext(json)) : stretch,
    ...(isOwn ? { attention_factor: own.attention_factor } : undefined),
  }
}

const getOwnScaling = (json: JsonObject): JsonObject =>
  (json.rope_scaling ?? json.rope_parameters ?? {}) as JsonObject

/** The context that the config gives the model. */
function readContext({ max_position_embeddings: context }: JsonObject): number {
  if (typeof context === 'number') return context
  throw new OptionError(
    'ropeScaling: the config does not say how long a context the model has ("max_position_embeddings"); give factor and originalContext.',
  )
}

/** The context before the config's own scaling. */
function readTrainedContext(json: JsonObject): number {
  const original =
    json.original_max_position_embeddings ?? getOwnScaling(json).original_max_position_embeddings
  return typeof original === 'number' ? original : readContext(json)
}

/**
 * Keeps theta and the rotated part of a head, which newer configs have among the parameters that
 * the scaling replaces; gemma3 has two thetas there, by type of layer.
 */
function keepAngles(json: JsonObject): JsonObject {
  const own = getOwnScaling(json)
  const full = own.full_attention as JsonObject | null | undefined
  const sliding = own.sliding_attention as JsonObject | null | undefined
  const kept = {
    rope_theta: own.rope_theta ?? full?.rope_theta,
    rope_local_base_freq: sliding?.rope_theta,
    partial_rotary_factor: own.partial_rotary_factor,
  }
  return Object.fromEntries(Object.entries(kept).filter(([, value]) => value !== undefined))
}
