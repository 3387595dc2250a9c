// Llama (Touvron et al. 2023), and all that share its form: SmolLM, TinyLlama, Llama 3.

import type { Architecture } from '../architecture.ts'
import { decoderLayer, embedTokens, modelHead } from './blocks.ts'
import { flagOf, readCommon } from './read-config.ts'

export const llama: Architecture = {
  modelType: 'llama',
  readConfig: (json) => ({
    ...readCommon(json, { maxPositions: 2048 }),
    attentionBias: flagOf(json, 'attention_bias', false),
    mlpBias: flagOf(json, 'mlp_bias', false),
  }),
  embed: embedTokens,
  layer: decoderLayer,
  head: modelHead,
}
