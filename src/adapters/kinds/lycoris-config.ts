// The part of the configuration that LoKr and LoHa share, which PEFT adopted from LyCORIS.

import { UnsupportedError } from '../../base/errors.ts'
import type { Value } from '../../graph/ir.ts'
import type { ModuleInfo } from '../../graph/model-graph.ts'
import { mapOf, number, positiveInteger, share, type GivenOptions } from '../../base/schema.ts'
import type { AdapterConfig, PeftJson, AdaptedLayer } from './kind.ts'
import {
  readTargets,
  targetDefaults,
  targetKeys,
  positiveAlpha,
  targetOptions,
  writeTargets,
} from './target-config.ts'
import { resolvePatternValue } from '../targets.ts'

export interface LycorisConfig extends AdapterConfig {
  readonly rank: number
  /** The change is scaled by alpha/rank. */
  readonly alpha: number
  /** Ranks and alphas of single modules: a regex on the end of the module path → value. */
  readonly rankPattern: Readonly<Record<string, number>>
  readonly alphaPattern: Readonly<Record<string, number>>
  /**
   * Rates of dropped rows and of dropped modules in earlier training. They change no result, but
   * continuing to train with them is refused.
   */
  readonly rankDropout: number
  readonly moduleDropout: number
}

export const lycorisOptions = {
  ...targetOptions,
  rank: positiveInteger,
  alpha: positiveAlpha,
  rankPattern: mapOf(positiveInteger),
  alphaPattern: mapOf(positiveAlpha),
}

/** Defaults: rank 8, scale 1. */
export const completeLycoris = (read: GivenOptions<typeof lycorisOptions>): LycorisConfig => ({
  ...targetDefaults,
  alpha: read.rank ?? 8,
  rankPattern: {},
  alphaPattern: {},
  rankDropout: 0,
  moduleDropout: 0,
  ...read,
  rank: read.rank ?? 8,
})

export const lycorisKeys = {
  ...targetKeys,
  r: positiveInteger,
  alpha: number(),
  rank_pattern: mapOf(positiveInteger),
  alpha_pattern: mapOf(number()),
  rank_dropout: share,
  module_dropout: share,
}

export const readLycoris = (
  read: GivenOptions<typeof lycorisKeys>,
  json: PeftJson,
): LycorisConfig => ({
  ...readTargets(read, json),
  rank: read.r!,
  alpha: read.alpha!,
  rankPattern: read.rank_pattern ?? {},
  alphaPattern: read.alpha_pattern ?? {},
  rankDropout: read.rank_dropout ?? 0,
  moduleDropout: read.module_dropout ?? 0,
})

export const writeLycoris = (config: LycorisConfig): PeftJson => ({
  task_type: 'CAUSAL_LM',
  use_effective_conv2d: false,
  ...config.peft,
  ...writeTargets(config),
  r: config.rank,
  alpha: config.alpha,
  rank_pattern: config.rankPattern,
  alpha_pattern: config.alphaPattern,
  rank_dropout: config.rankDropout,
  module_dropout: config.moduleDropout,
})

/** R and alpha/R of one module. */
export function resolveLycorisRank(
  config: LycorisConfig,
  { path }: ModuleInfo,
): { rank: number; scale: number } {
  const rank = resolvePatternValue(config.rankPattern, path, config.rank)
  return { rank, scale: resolvePatternValue(config.alphaPattern, path, config.alpha) / rank }
}

/**
 * The layer's input. Throws UnsupportedError in a training graph where the configuration drops rows
 * or modules.
 */
export function getLycorisInput(
  { rankDropout, moduleDropout }: LycorisConfig,
  layer: AdaptedLayer,
  kind: string,
): Value {
  const dropping = rankDropout > 0 || moduleDropout > 0
  if (dropping && layer.dropout(layer.x) !== layer.x) {
    throw new UnsupportedError(
      `${layer.module.path}: training a ${kind} adapter with rank_dropout or module_dropout; set both to 0.`,
    )
  }
  return layer.x
}
