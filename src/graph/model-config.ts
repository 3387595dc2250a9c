// The configuration from which a base model's graph is built: Hugging Face's config.json with the
// same names for all architectures.

/** How rotary angles are stretched beyond the trained context; the fields are config.json's own. */
export interface RopeScaling {
  readonly type: 'linear' | 'dynamic' | 'yarn' | 'llama3' | 'longrope'
  readonly factor: number
  readonly originalMaxPositions?: number
  /** llama3 */
  readonly lowFrequencyFactor?: number
  readonly highFrequencyFactor?: number
  /** longrope: a divisor of each frequency, for contexts up to the original one and beyond it. */
  readonly shortFactor?: readonly number[]
  readonly longFactor?: readonly number[]
  /** yarn, longrope: the factor of cosines and sines. */
  readonly attentionFactor?: number
  /** yarn */
  readonly betaFast?: number
  readonly betaSlow?: number
  readonly mscale?: number
  readonly mscaleAllDim?: number
  readonly truncate?: boolean
}

export interface RopeConfig {
  readonly theta: number
  /** How many values of each head are rotated: the head width, or less. */
  readonly width: number
  readonly scaling?: RopeScaling
}

export interface LayerConfig {
  /** Most tokens to which a query attends, itself included; undefined: all. */
  readonly slidingWindow?: number
  /**
   * Which table of angles the layer uses; undefined: none (smollm3 leaves every fourth layer out).
   */
  readonly rope?: 'main' | 'local'
  /** How the layer mixes tokens; undefined: attention. */
  readonly mixer?: 'convolution' | 'recurrence'
}

/** The gated delta rule: a state [keyWidth, valueWidth] for each of `heads`. */
export interface RecurrenceConfig {
  readonly keyHeads: number
  readonly heads: number
  readonly keyWidth: number
  readonly valueWidth: number
}

/** A causal convolution of each channel separately (depthwise). */
export interface ConvolutionConfig {
  readonly width: number // D
  /** How many tokens an output depends on, its own included: L. */
  readonly kernel: number
  readonly bias?: boolean
}

export interface ModelConfig {
  /** `model_type` of config.json; names the file in graph/models/. */
  readonly modelType: string
  readonly vocabularySize: number // V
  /**
   * How many virtual tokens an attached adapter has: the ids −1 to −virtualTokens. Default: none.
   */
  readonly virtualTokens?: number
  readonly width: number // D
  readonly feedForward: number // F
  readonly heads: number // H
  readonly kvHeads: number // K
  readonly headWidth: number // d
  readonly layers: readonly LayerConfig[]
  readonly maxPositions: number
  readonly normEpsilon: number
  readonly attentionBias: boolean
  readonly mlpBias: boolean
  readonly tiedEmbeddings: boolean
  /** Tables of rotary angles: `main`, and `local` if sliding layers have a separate one. */
  readonly rope: { readonly main: RopeConfig; readonly local?: RopeConfig }
  /** The factor of q·k in scores. */
  readonly attentionScale: number
  /** The convolution of layers whose mixer is one, or a recurrence with one before it. */
  readonly convolution?: ConvolutionConfig
  readonly recurrence?: RecurrenceConfig
  readonly attentionSoftcap: number // 0: off
  readonly logitSoftcap: number // 0: off
  readonly bosTokenId?: number
  readonly eosTokenIds: readonly number[]
  readonly padTokenId?: number
  /** The whole config.json, for keys that only one architecture reads. */
  readonly source: Readonly<Record<string, unknown>>
}
