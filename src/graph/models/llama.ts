// Llama (Touvron et al. 2023), and all that share its form: SmolLM, TinyLlama, Llama 3.

import type { Architecture } from '../architecture.ts'
import { buildDecoderLayer, buildEmbedding, buildModelHead } from './blocks.ts'
import { readFlag, readCommon } from './read-config.ts'

export const llama: Architecture = {
  modelType: 'llama',
  readConfig: (json) => ({
    ...readCommon(json, { maxPositions: 2048 }),
    attentionBias: readFlag(json, 'attention_bias', false),
    mlpBias: readFlag(json, 'mlp_bias', false),
  }),
  embed: buildEmbedding,
  layer: buildDecoderLayer,
  head: buildModelHead,
}
