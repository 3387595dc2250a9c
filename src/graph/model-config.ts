// What a base model's graph is built from: config.json of Hugging Face, read into one vocabulary
// for all architectures.

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
  /** yarn, longrope: what cosines and sines are multiplied by. */
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
  /** Numbers of each head that turn: head width, or less where only a part does. */
  readonly width: number
  readonly scaling?: RopeScaling
}

export interface LayerConfig {
  /** Tokens a query sees at most, itself included; undefined: all. */
  readonly slidingWindow?: number
  /**
   * Which table of angles the layer uses; undefined: none (smollm3 leaves every fourth layer out).
   */
  readonly rope?: 'main' | 'local'
  /** What brings earlier tokens in; undefined: attention. */
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
  /** Tokens that one number depends on, itself included: L. */
  readonly kernel: number
  readonly bias?: boolean
}

export interface ModelConfig {
  /** `model_type` of config.json; names the file in graph/models/. */
  readonly modelType: string
  readonly vocabularySize: number // V
  /**
   * Virtual tokens that an attached adapter gives vectors to: the ids −1 to −virtualTokens.
   * Default: none.
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
  /** Tables of rotary angles: `main`, and `local` where sliding layers have their own. */
  readonly rope: { readonly main: RopeConfig; readonly local?: RopeConfig }
  /** Scores are q·k times this. */
  readonly attentionScale: number
  /** Of the layers whose mixer is a convolution, or a recurrence with one before it. */
  readonly convolution?: ConvolutionConfig
  readonly recurrence?: RecurrenceConfig
  readonly attentionSoftcap: number // 0: off
  readonly logitSoftcap: number // 0: off
  readonly bosTokenId?: number
  readonly eosTokenIds: readonly number[]
  readonly padTokenId?: number
  /** The whole config.json, for what only one architecture reads. */
  readonly source: Readonly<Record<string, unknown>>
}
