// Prefix tuning: learned keys and values in every layer, to which every token of a row attends. Li
// and Liang 2021, arXiv:2101.00190.
//
//     keys = [p_k, W_k·x]   values = [p_v, W_v·x]     p: [P, layers·2·K·d], a layer's keys before its values
//
// The keys are used as they are, without rotary embedding. Rows begin with the ids −1 to −P, whose
// positions in the layers hold the prefix.

import { OptionError, UnsupportedError } from '../../base/errors.ts'
import { flag, positiveInteger, record, readGivenOptions } from '../../base/schema.ts'
import type { ModelConfig } from '../../graph/model-config.ts'
import type { AdapterKind } from './kind.ts'
import { readPeftConfig } from './peft-config.ts'
import {
  refuseLayer,
  noModules,
  oneSubmodule,
  promptKey,
  promptKeys,
  readPrompt,
  writePrompt,
  type PromptConfig,
} from './prompt-config.ts'
import { drawNormal } from './initializers.ts'
import { withKnownIds, withVirtualKeys } from '../virtual-tokens.ts'

const options = { virtualTokens: positiveInteger, peft: record }
const peftKeys = {
  ...promptKeys,
  num_transformer_submodules: oneSubmodule,
  encoder_hidden_size: positiveInteger,
  // PEFT trains through a projection and saves its output, so the table is used unchanged
  prefix_projection: flag(),
}

/** The layers that the file names; it may leave them out. Throws OptionError. */
function checkLayers(base: PromptConfig['base'], layers: number): void {
  if (!base || base.layers === layers) return
  throw new OptionError(
    `Prefix tuning: num_layers: the file is for a base of ${base.layers} layers, and this model has ${layers}.`,
  )
}

/**
 * Throws UnsupportedError if a layer has no attention, because it would read the virtual tokens
 * instead of their keys.
 */
function checkMixers({ modelType, layers }: Pick<ModelConfig, 'modelType' | 'layers'>): void {
  const layer = layers.findIndex(({ mixer }) => mixer !== undefined)
  if (layer < 0) return
  throw new UnsupportedError(
    `Prefix tuning: layer ${layer} of this ${modelType} model has no attention, so it has no keys that a prefix could be; expected attention in every layer. Use prompt-tuning or lora.`,
  )
}

export const prefixTuning: AdapterKind<PromptConfig, typeof options> = {
  name: 'prefix-tuning',
  peftType: 'PREFIX_TUNING',
  effect: 'precedes',
  mark: 'prompt_embeddings',
  options,

  /** Default: 16 virtual tokens. */
  complete: (given) => ({
    ...noModules,
    virtualTokens: 16,
    ...readGivenOptions('Prefix tuning options', given, options),
  }),

  fit(config, model) {
    checkMixers(model)
    const { layers, kvHeads, headWidth } = model
    return {
      ...config,
      base: { tokenWidth: kvHeads * headWidth, layers: layers.length, heads: kvHeads },
    }
  },

  readConfig: (json, fileName) =>
    readPrompt(readPeftConfig(json, peftKeys, ['num_virtual_tokens'], fileName), json),

  writeConfig: (config) => ({
    encoder_hidden_size: config.base?.tokenWidth ?? null,
    prefix_projection: false,
    ...writePrompt(config),
  }),

  parameters: () => [],
  shared({ virtualTokens, base }, _modules, model) {
    checkMixers(model)
    const { layers, kvHeads, headWidth } = model
    checkLayers(base, layers.length)
    const shape = [virtualTokens, layers.length * 2 * kvHeads * headWidth]
    return [{ name: promptKey, shape, trainable: true, start: drawNormal(shape, 1) }]
  },
  virtualTokens: ({ virtualTokens }) => virtualTokens,
  apply: refuseLayer,
  applyToBlock(block, { virtualTokens }, { layers }) {
    if (block.kind === 'embed') return withKnownIds(block)
    return block.kind === 'layer'
      ? withVirtualKeys(block, promptKey, { virtualTokens, layers: layers.length })
      : block
  },
}
