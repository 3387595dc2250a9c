// The part of the configuration that soft prompts share: virtual tokens instead of modules.

import { OptionError } from '../../base/errors.ts'
import { oneOf, positiveInteger, string } from '../../base/schema.ts'
import type { AdapterConfig, PeftJson } from './kind.ts'

export interface PromptConfig extends AdapterConfig {
  readonly virtualTokens: number // P
  /** The base's sizes as stored in the file: width of a token's vectors, layers, heads. */
  readonly base?: { readonly tokenWidth: number; readonly layers: number; readonly heads: number }
}

/** The one tensor of a soft prompt: its key in the file, and its input's name. */
export const promptKey = 'prompt_embeddings'

export const noModules = { targets: [], exclude: [], layersPattern: [], dropout: 0 } as const

export const promptKeys = {
  num_virtual_tokens: positiveInteger,
  token_dim: positiveInteger,
  num_layers: positiveInteger,
  num_attention_heads: positiveInteger,
  tokenizer_name_or_path: string(),
}

/** PEFT counts 2 for models with an encoder; a decoder alone has one. */
export const oneSubmodule = oneOf([1])

interface PromptKeys {
  readonly num_virtual_tokens?: number
  readonly token_dim?: number
  readonly num_layers?: number
  readonly num_attention_heads?: number
}

export function readPrompt(read: PromptKeys, json: PeftJson): PromptConfig {
  const {
    num_virtual_tokens: virtualTokens,
    token_dim: tokenWidth,
    num_layers: layers,
    num_attention_heads: heads,
  } = read
  const base = tokenWidth && layers && heads ? { base: { tokenWidth, layers, heads } } : {}
  return { ...noModules, virtualTokens: virtualTokens!, ...base, peft: json }
}

export const writePrompt = ({ virtualTokens, base, peft }: PromptConfig): PeftJson => ({
  task_type: 'CAUSAL_LM',
  modules_to_save: null,
  ...peft,
  num_virtual_tokens: virtualTokens,
  num_transformer_submodules: 1,
  token_dim: base?.tokenWidth ?? null,
  num_layers: base?.layers ?? null,
  num_attention_heads: base?.heads ?? null,
})

/** Soft prompts act on no layer. */
export const refuseLayer = (): never => {
  throw new OptionError('internal: a soft prompt acts on no layer.')
}
