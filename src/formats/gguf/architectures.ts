// How each architecture's GGUF files differ from its Hugging Face checkpoints: names of tensors,
// order of rows, offset of norms. After llama.cpp's convert_hf_to_gguf.py and
// gguf-py/gguf/tensor_mapping.py. What a model computes is not known here.

import { findDeltaChange, type TensorChange } from './delta-tensors.ts'
import type { GgufFile, GgufTensorInfo } from './types.ts'

export interface GgufArchitecture {
  /**
   * Hugging Face module by ggml name within a layer: `model.layers.N.<module>` by `blk.N.<name>`.
   */
  readonly layer: Readonly<Record<string, string>>
  /** Rows of attn_q and attn_k are interleaved for llama.cpp's rope; see rotary-rows.ts. */
  readonly interleavedRotary: boolean
  /**
   * What is added to the weights of norms when a GGUF is written: Gemma multiplies by 1 + weight.
   */
  readonly normOffset: 0 | 1
  /** Modules outside of the layers whose names differ from `globalModules`. */
  readonly global?: Readonly<Record<string, string>>
  /**
   * Weights of convolutions, by ggml name within a layer: the file leaves out their middle length
   * 1.
   */
  readonly convolutions?: readonly string[]
  /** Norms within a layer that are stored as they are, where the others are not. */
  readonly plainNorms?: readonly string[]
  /** Tensors that end in neither .weight nor .bias on one side: Hugging Face's names by ggml's. */
  readonly bare?: Readonly<Record<string, string>>
  /** What else happens to a tensor, by its ggml name within a layer. */
  readonly findChange?: (
    file: GgufFile,
    part: string,
    info: GgufTensorInfo,
  ) => TensorChange | undefined
}

const separateHeads = {
  attn_q: 'self_attn.q_proj',
  attn_k: 'self_attn.k_proj',
  attn_v: 'self_attn.v_proj',
}
const gatedFeedForward = {
  ffn_gate: 'mlp.gate_proj',
  ffn_up: 'mlp.up_proj',
  ffn_down: 'mlp.down_proj',
}
const preNorms = { attn_norm: 'input_layernorm', ffn_norm: 'post_attention_layernorm' }
const headNorms = { attn_q_norm: 'self_attn.q_norm', attn_k_norm: 'self_attn.k_norm' }
const attentionOutput = { attn_output: 'self_attn.o_proj' }
const decoder = { ...preNorms, ...separateHeads, ...attentionOutput, ...gatedFeedForward }

/** By `general.architecture`. Mistral's files say `llama`. */
export const ggufArchitectures: Readonly<Record<string, GgufArchitecture>> = {
  llama: { layer: decoder, interleavedRotary: true, normOffset: 0 },
  smollm3: { layer: decoder, interleavedRotary: true, normOffset: 0 },
  qwen2: { layer: decoder, interleavedRotary: false, normOffset: 0 },
  qwen3: { layer: { ...decoder, ...headNorms }, interleavedRotary: false, normOffset: 0 },
  gemma3: {
    layer: {
      ...decoder,
      ...headNorms,
      post_attention_norm: 'post_attention_layernorm',
      ffn_norm: 'pre_feedforward_layernorm',
      post_ffw_norm: 'post_feedforward_layernorm',
    },
    interleavedRotary: false,
    normOffset: 1,
  },
  mistral3: { layer: decoder, interleavedRotary: true, normOffset: 0 },
  granite: { layer: decoder, interleavedRotary: true, normOffset: 0 },
  lfm2: {
    layer: {
      ...separateHeads,
      attn_norm: 'operator_norm',
      ffn_norm: 'ffn_norm',
      attn_q_norm: 'self_attn.q_layernorm',
      attn_k_norm: 'self_attn.k_layernorm',
      attn_output: 'self_attn.out_proj',
      ffn_gate: 'feed_forward.w1',
      ffn_up: 'feed_forward.w3',
      ffn_down: 'feed_forward.w2',
      'shortconv.conv': 'conv.conv',
      'shortconv.in_proj': 'conv.in_proj',
      'shortconv.out_proj': 'conv.out_proj',
    },
    interleavedRotary: false,
    normOffset: 0,
    global: {
      token_embd: 'model.embed_tokens',
      token_embd_norm: 'model.embedding_norm',
      output: 'lm_head',
    },
    convolutions: ['shortconv.conv'],
  },
  qwen35: {
    layer: {
      ...separateHeads,
      ...attentionOutput,
      ...gatedFeedForward,
      ...headNorms,
      attn_norm: 'input_layernorm',
      post_attention_norm: 'post_attention_layernorm',
      attn_qkv: 'linear_attn.in_proj_qkv',
      attn_gate: 'linear_attn.in_proj_z',
      ssm_alpha: 'linear_attn.in_proj_a',
      ssm_beta: 'linear_attn.in_proj_b',
      ssm_conv1d: 'linear_attn.conv1d',
      ssm_norm: 'linear_attn.norm',
      ssm_out: 'linear_attn.out_proj',
    },
    interleavedRotary: false,
    normOffset: 1,
    plainNorms: ['ssm_norm'],
    bare: { ssm_a: 'linear_attn.A_log', 'ssm_dt.bias': 'linear_attn.dt_bias' },
    findChange: findDeltaChange,
  },
  phi3: {
    layer: {
      ...preNorms,
      ...attentionOutput,
      attn_qkv: 'self_attn.qkv_proj',
      ffn_up: 'mlp.gate_up_proj',
      ffn_down: 'mlp.down_proj',
    },
    interleavedRotary: false,
    normOffset: 0,
  },
}

/** Modules outside of the layers, the same nearly everywhere. */
export const globalModules: Readonly<Record<string, string>> = {
  token_embd: 'model.embed_tokens',
  output_norm: 'model.norm',
  output: 'lm_head',
}

/**
 * Tensors that follow from the configuration and are in no checkpoint: the code that makes the
 * configuration reads them.
 */
export const derivedTensors: ReadonlySet<string> = new Set([
  'rope_freqs.weight',
  'rope_factors_long.weight',
  'rope_factors_short.weight',
])
