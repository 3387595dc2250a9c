// A scaling of rotary positions that is chosen when a model is opened, for contexts longer than it
// was trained on. Written into the config as a checkpoint would have it.

import { OptionError } from '../../base/errors.ts'
import { number, object, oneOf, type OptionFields, positiveInteger } from '../../base/schema.ts'
import type { JsonObject } from './read-config.ts'

/**
 * linear: positions divided by the factor (Chen et al. 2023, arXiv:2306.15595). dynamic: the base
 * grows with the sequence (NTK-aware). yarn: by frequency (Peng et al. 2023, arXiv:2309.00071).
 * llama3: by frequency, as Llama 3.1 was trained.
 */
export interface RopeScalingOptions {
  readonly type: 'linear' | 'dynamic' | 'yarn' | 'llama3'
  /** The new context over the trained one: 4 reads 8,192 tokens with a model of 2,048. */
  readonly factor: number
  /** The trained context. Default: the config's. */
  readonly originalContext?: number | undefined
}

const scalingFields = {
  type: oneOf<RopeScalingOptions['type']>(['linear', 'dynamic', 'yarn', 'llama3']),
  factor: number({ from: 1 }),
  originalContext: positiveInteger,
} satisfies OptionFields<RopeScalingOptions>

export const ropeScalingField = object(scalingFields, {
  about: 'a scaling of rotary positions for longer contexts: { type, factor }',
})

/** Llama 3.1's own band of frequencies. */
const llama3Band = { low_freq_factor: 1, high_freq_factor: 4 }

/**
 * The config with the scaling in place of its own, and its context times the factor. Throws
 * OptionError where type or factor is missing, or the config does not say its context.
 */
export function withRopeScaling(json: JsonObject, scaling: RopeScalingOptions): JsonObject {
  const { type, factor } = scaling
  if (type === undefined || factor === undefined)
    throw new OptionError('ropeScaling: expected { type, factor }.')
  const trained = scaling.originalContext ?? readContext(json)
  const rope = {
    rope_type: type,
    factor,
    original_max_position_embeddings: trained,
    ...(type === 'llama3' ? llama3Band : {}),
  }
  const { original_max_position_embeddings: _original, ...rest } = json
  return {
    ...rest,
    ...keepTheta(json),
    rope_scaling: rope,
    rope_parameters: undefined,
    max_position_embeddings: Math.floor(trained * factor),
  }
}

function readContext(json: JsonObject): number {
  const context = json.original_max_position_embeddings ?? json.max_position_embeddings
  if (typeof context === 'number') return context
  throw new OptionError(
    'ropeScaling: the config does not say how long a context the model was trained on; give originalContext.',
  )
}

/** Newer configs keep theta among the parameters that the scaling replaces. */
function keepTheta({ rope_theta: theta, rope_parameters: parameters }: JsonObject): JsonObject {
  const own = theta ?? (parameters as JsonObject | undefined)?.rope_theta
  return own === undefined ? {} : { rope_theta: own }
}
