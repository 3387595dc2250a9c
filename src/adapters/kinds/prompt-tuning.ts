// Prompt tuning: learned vectors before the first token of every row. Lester et al. 2021,
// arXiv:2104.08691.
//
//     x = [p_1 … p_P, E[ids]]     p: [P, D]
//
// Rows begin with the ids −1 to −P, which represent the vectors; the model's outputs at those
// positions are undefined.

import { OptionError } from '../../base/errors.ts'
import {
  listOf,
  naturalNumber,
  oneOf,
  positiveInteger,
  record,
  string,
  readGivenOptions,
} from '../../base/schema.ts'
import type { AdapterKind, ParameterSpec } from './kind.ts'
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
import { withVirtualEmbeddings } from '../virtual-tokens.ts'

export interface PromptTuningConfig extends PromptConfig {
  /**
   * 'random': normal numbers. 'vocabulary': the vectors of tokens drawn from the base's vocabulary.
   */
  readonly start: 'random' | 'vocabulary'
  /** Token ids of a text whose vectors are the start, repeated as needed. */
  readonly startIds?: readonly number[]
}

const options = {
  virtualTokens: positiveInteger,
  start: oneOf(['random', 'vocabulary']),
  startIds: listOf(naturalNumber),
  peft: record,
}
const peftKeys = {
  ...promptKeys,
  num_transformer_submodules: oneSubmodule,
  prompt_tuning_init: oneOf(['RANDOM', 'TEXT', 'SAMPLE_VOCAB']),
  prompt_tuning_init_text: string(),
}

const isFromVocabulary = ({ start, startIds }: PromptTuningConfig): boolean =>
  start === 'vocabulary' || startIds !== undefined

function createStart(
  config: PromptTuningConfig,
  vocabularySize: number,
  width: number,
): ParameterSpec['start'] {
  const { virtualTokens, startIds } = config
  if (!isFromVocabulary(config)) return drawNormal([virtualTokens, width], 1)
  return (random, base) => {
    const table = base('weight')
    const result = new Float32Array(virtualTokens * width)
    for (let i = 0; i < virtualTokens; i++) {
      const id = startIds?.[i % startIds.length] ?? random.integer(vocabularySize)
      if (id >= vocabularySize)
        throw new OptionError(
          `Prompt tuning options: startIds: token ${id} is not in the vocabulary of ${vocabularySize}.`,
        )
      result.set(table.subarray(id * width, (id + 1) * width), i * width)
    }
    return result
  }
}

export const promptTuning: AdapterKind<PromptTuningConfig, typeof options> = {
  name: 'prompt-tuning',
  peftType: 'PROMPT_TUNING',
  effect: 'precedes',
  mark: 'prompt_embeddings',
  options,

  /** Default: 16 virtual tokens. */
  complete: (given) => ({
    ...noModules,
    virtualTokens: 16,
    start: 'random',
    ...readGivenOptions('Prompt tuning options', given, options),
  }),

  fit: (config, { width, layers, heads }) => ({
    ...config,
    base: { tokenWidth: width, layers: layers.length, heads },
  }),

  readConfig(json, fileName) {
    const read = readPeftConfig(json, peftKeys, ['num_virtual_tokens'], fileName)
    return {
      ...readPrompt(read, json),
      start: read.prompt_tuning_init === 'SAMPLE_VOCAB' ? 'vocabulary' : 'random',
    }
  },

  writeConfig: (config) => ({
    prompt_tuning_init: config.start === 'vocabulary' ? 'SAMPLE_VOCAB' : 'RANDOM',
    prompt_tuning_init_text: null,
    ...writePrompt(config),
  }),

  parameters: () => [],
  shared: (config, _modules, { width, vocabularySize }) => [
    {
      name: promptKey,
      shape: [config.virtualTokens, width],
      trainable: true,
      ...(isFromVocabulary(config) && { reads: ['weight'] as const }),
      start: createStart(config, vocabularySize, width),
    },
  ],
  virtualTokens: ({ virtualTokens }) => virtualTokens,
  apply: refuseLayer,
  applyToBlock: (block, { virtualTokens }) =>
    block.kind === 'embed' ? withVirtualEmbeddings(block, promptKey, virtualTokens) : block,
}
