// The keys of config.json of each architecture in addition to the common ones. One function an
// architecture; reads no weights.

import { FormatError, UnsupportedError } from '../../base/errors.ts'
import { type GgufValues, shortenFloat } from './values.ts'

/** What the architectures share, read from `<architecture>.*`. */
export interface GgufCommon {
  readonly values: GgufValues
  readonly prefix: string
  readonly tensors: { has(name: string): boolean }
  readonly hiddenSize: number
  readonly layers: number
  readonly heads: number
  readonly headDim: number
  readonly rope: Record<string, unknown>
}

export type ConfigJson = Record<string, unknown>

/** GGUF architecture → its keys of config.json in addition to the common ones. */
export const architectureConfigs: Readonly<Record<string, (common: GgufCommon) => ConfigJson>> = {
  llama: convertLlama,
  qwen2: convertQwen2,
  qwen3: convertQwen3,
  gemma3: convertGemma3,
  phi3: convertPhi3,
  smollm3: convertSmollm3,
  granite: convertGranite,
  mistral3: convertMistral3,
  qwen35: convertQwen35,
  lfm2: convertLfm2,
}

function convertLlama({ values, prefix, tensors }: GgufCommon): ConfigJson {
  const slidingWindow = values.number(`${prefix}.attention.sliding_window`)
  if (values.number(`${prefix}.expert_count`))
    throw new UnsupportedError('GGUF architecture "llama" with experts (Mixtral) is not supported.')
  if (slidingWindow)
    return {
      model_type: 'mistral',
      architectures: ['MistralForCausalLM'],
      sliding_window: slidingWindow,
    }
  return {
    model_type: 'llama',
    architectures: ['LlamaForCausalLM'],
    attention_bias: tensors.has('blk.0.attn_q.bias'),
    mlp_bias: tensors.has('blk.0.ffn_gate.bias'),
  }
}

function convertQwen2(): ConfigJson {
  return {
    model_type: 'qwen2',
    architectures: ['Qwen2ForCausalLM'],
    use_sliding_window: false,
    sliding_window: null,
  }
}

function convertQwen3({ tensors }: GgufCommon): ConfigJson {
  const attention_bias = tensors.has('blk.0.attn_q.bias')
  return {
    model_type: 'qwen3',
    architectures: ['Qwen3ForCausalLM'],
    attention_bias,
    use_sliding_window: false,
    sliding_window: null,
  }
}

/** Every sixth layer sees the whole context; the others a window, with their own RoPE. */
function convertGemma3({
  values,
  prefix,
  hiddenSize,
  layers,
  heads,
  headDim,
  rope,
}: GgufCommon): ConfigJson {
  const pattern = values.number(`${prefix}.attention.sliding_window_pattern`) ?? 6
  const localTheta = values.number(`${prefix}.rope.freq_base_swa`) ?? 10_000
  const layersOf27B = 62 // the one size whose attention is scaled by width over heads, not by the head's width (llama.cpp)
  return {
    model_type: 'gemma3_text',
    architectures: ['Gemma3ForCausalLM'],
    hidden_act: 'gelu_pytorch_tanh',
    hidden_activation: 'gelu_pytorch_tanh',
    attention_bias: false,
    sliding_window: values.number(`${prefix}.attention.sliding_window`) ?? 4096,
    layer_types: Array.from({ length: layers }, (_, i) =>
      (i + 1) % pattern === 0 ? 'full_attention' : 'sliding_attention',
    ),
    query_pre_attn_scalar: layers === layersOf27B ? hiddenSize / heads : headDim,
    attn_logit_softcapping: null,
    final_logit_softcapping: values.number(`${prefix}.final_logit_softcapping`) ?? null,
    rope_parameters: {
      full_attention: rope,
      sliding_attention: { rope_type: 'default', rope_theta: localTheta },
    },
  }
}

function convertPhi3({ values, prefix, headDim, rope }: GgufCommon): ConfigJson {
  const rotated = values.number(`${prefix}.rope.dimension_count`) ?? headDim
  return {
    model_type: 'phi3',
    architectures: ['Phi3ForCausalLM'],
    sliding_window: values.number(`${prefix}.attention.sliding_window`) || null,
    original_max_position_embeddings:
      values.number(`${prefix}.rope.scaling.original_context_length`) ??
      values.number(`${prefix}.context_length`),
    rope_parameters: { ...rope, partial_rotary_factor: rotated / headDim },
  }
}

/** Every fourth layer has no RoPE; the files do not say so, it is part of the architecture. */
function convertSmollm3({ tensors, layers }: GgufCommon): ConfigJson {
  return {
    model_type: 'smollm3',
    architectures: ['SmolLM3ForCausalLM'],
    attention_bias: tensors.has('blk.0.attn_q.bias'),
    mlp_bias: false,
    no_rope_layer_interval: 4,
    no_rope_layers: Array.from({ length: layers }, (_, i) => ((i + 1) % 4 === 0 ? 0 : 1)),
    use_sliding_window: false,
    sliding_window: null,
  }
}

function convertGranite({ values, prefix, tensors }: GgufCommon): ConfigJson {
  const factor = (key: string): number => shortenFloat(values.number(`${prefix}.${key}`) ?? 1)
  return {
    model_type: 'granite',
    architectures: ['GraniteForCausalLM'],
    attention_bias: tensors.has('blk.0.attn_q.bias'),
    mlp_bias: tensors.has('blk.0.ffn_gate.bias'),
    embedding_multiplier: factor('embedding_scale'),
    residual_multiplier: factor('residual_scale'),
    attention_multiplier: factor('attention.scale'),
    logits_scaling: factor('logit_scale'),
  }
}

/** Every layer with the interval's number attends, the others hold a state. */
function convertQwen35({ values, prefix, tensors, layers, headDim, rope }: GgufCommon): ConfigJson {
  const need = (key: string): number => {
    const value = values.number(`${prefix}.ssm.${key}`)
    if (value !== undefined) return value
    throw new FormatError(`GGUF metadata: the key "${prefix}.ssm.${key}" is missing.`)
  }
  const heads = need('time_step_rank')
  const rotated = values.number(`${prefix}.rope.dimension_count`) ?? headDim / 4
  return {
    model_type: 'qwen3_5_text',
    architectures: ['Qwen3_5ForCausalLM'],
    attention_bias: tensors.has('blk.0.attn_q.bias'),
    layer_types: Array.from({ length: layers }, (_, i) =>
      tensors.has(`blk.${i}.ssm_out.weight`) ? 'linear_attention' : 'full_attention',
    ),
    linear_num_key_heads: need('group_count'),
    linear_num_value_heads: heads,
    linear_key_head_dim: need('state_size'),
    linear_value_head_dim: need('inner_size') / heads,
    linear_conv_kernel_dim: need('conv_kernel'),
    rope_parameters: { ...rope, partial_rotary_factor: rotated / headDim },
  }
}

/** The growth of queries beyond the first context is its own key. */
function convertMistral3({ values, prefix, rope }: GgufCommon): ConfigJson {
  if (values.number(`${prefix}.expert_count`))
    throw new UnsupportedError('GGUF architecture "mistral3" with experts is not supported.')
  const multiplier = values.number(`${prefix}.rope.scaling.yarn_log_multiplier`)
  return {
    model_type: 'ministral3',
    architectures: ['Ministral3ForCausalLM'],
    sliding_window: null,
    rope_parameters: {
      ...rope,
      ...(multiplier !== undefined && { mscale: 1, mscale_all_dim: multiplier }),
      llama_4_scaling_beta: values.number(`${prefix}.attention.temperature_scale`) ?? 0,
    },
  }
}

/** Layers without key heads are convolutions; a feed-forward's width is the computed one. */
function convertLfm2({ values, prefix, tensors, layers }: GgufCommon): ConfigJson {
  const window = values.number(`${prefix}.attention.sliding_window`)
  if (window)
    throw new UnsupportedError(
      `GGUF architecture "lfm2" with attention over a window of ${window} tokens is not supported.`,
    )
  const kernel = values.number(`${prefix}.shortconv.l_cache`)
  if (kernel === undefined)
    throw new FormatError(`GGUF metadata: the key "${prefix}.shortconv.l_cache" is missing.`)
  return {
    model_type: 'lfm2',
    architectures: ['Lfm2ForCausalLM'],
    norm_eps: shortenFloat(values.number(`${prefix}.attention.layer_norm_rms_epsilon`)!),
    block_auto_adjust_ff_dim: false,
    conv_L_cache: kernel,
    conv_bias: Array.from({ length: layers }, (_, i) => i).some((i) =>
      tensors.has(`blk.${i}.shortconv.in_proj.bias`),
    ),
    layer_types: Array.from({ length: layers }, (_, i) =>
      tensors.has(`blk.${i}.shortconv.conv.weight`) ? 'conv' : 'full_attention',
    ),
  }
}
