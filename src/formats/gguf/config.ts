// The config.json of Hugging Face from the metadata of a GGUF file. One entry a model architecture;
// reads no weights.

import { FormatError, UnsupportedError } from '../../base/errors.ts'
import type { F32Tensor } from '../../base/tensor.ts'
import type { GgufFile } from './types.ts'
import { type GgufRopeFactors, readGgufRope } from './rope.ts'
import { type GgufMetadata, type GgufValues, createGgufValues } from './values.ts'

/** What the architectures share, read from `<architecture>.*`. */
interface Common {
  readonly values: GgufValues
  readonly prefix: string
  readonly tensors: { has(name: string): boolean }
  readonly hiddenSize: number
  readonly layers: number
  readonly heads: number
  readonly headDim: number
  readonly rope: Record<string, unknown>
}

type Config = Record<string, unknown>

/** GGUF architecture → what its config.json holds in addition to the common keys. */
const architectures: Readonly<Record<string, (common: Common) => Config>> = {
  llama: convertLlama,
  qwen2: convertQwen2,
  qwen3: convertQwen3,
  gemma3: convertGemma3,
  phi3: convertPhi3,
  smollm3: convertSmollm3,
}

/**
 * The config.json of a GGUF model. `tensors` holds the file's own tensor names
 * (`blk.0.attn_q.weight`). Throws UnsupportedError for an architecture or RoPE scaling that is not
 * supported, FormatError where a needed key is missing.
 */
export function convertGgufConfig(
  metadata: GgufMetadata,
  tensors: { has(name: string): boolean },
  factors: GgufRopeFactors = {},
): Config {
  const values = createGgufValues(metadata)
  const prefix = values.string('general.architecture')
  if (prefix === undefined)
    throw new FormatError(
      'This GGUF does not say what it holds: the key "general.architecture" is missing.',
    )
  const extra = Object.hasOwn(architectures, prefix) ? architectures[prefix] : undefined
  if (!extra)
    throw new UnsupportedError(
      `GGUF architecture "${prefix}" is not supported; supported: ${Object.keys(architectures).join(', ')}.`,
    )
  const need = (key: string): number => {
    const value = values.number(`${prefix}.${key}`)
    if (value === undefined)
      throw new FormatError(`GGUF metadata: the key "${prefix}.${key}" is missing.`)
    return value
  }
  const hiddenSize = need('embedding_length')
  const heads = need('attention.head_count')
  const headDim = readHeadDimension(values, prefix, hiddenSize / heads)
  const rope = readGgufRope(values, prefix, {
    ...factors,
    tensors,
    headDim,
    contextTokens: need('context_length'),
  })
  const layers = need('block_count')
  return {
    hidden_size: hiddenSize,
    intermediate_size: need('feed_forward_length'),
    num_hidden_layers: layers,
    num_attention_heads: heads,
    num_key_value_heads: values.number(`${prefix}.attention.head_count_kv`) ?? heads,
    head_dim: headDim,
    rms_norm_eps: shortenFloat(need('attention.layer_norm_rms_epsilon')),
    max_position_embeddings: need('context_length'),
    vocab_size: readVocabularySize(values, prefix),
    tie_word_embeddings: !tensors.has('output.weight'),
    hidden_act: 'silu',
    rope_parameters: rope,
    ...readTokenIds(values),
    ...extra({ values, prefix, tensors, hiddenSize, layers, heads, headDim, rope }),
  }
}

/**
 * The config.json of an open file; reads the tensors that may hold RoPE scaling. Throws as
 * `convertGgufConfig` does.
 */
export async function readGgufConfig(
  file: Pick<GgufFile, 'metadata' | 'tensors' | 'read'>,
): Promise<Config> {
  const read = async (name: string): Promise<Float32Array | undefined> => {
    if (!file.tensors.has(name)) return undefined
    const factors = await file.read(name)
    if (factors.dtype === 'f32') return (factors as F32Tensor).data
    throw new FormatError(`GGUF tensor "${name}": got ${factors.dtype}, expected f32.`)
  }
  return convertGgufConfig(file.metadata, file.tensors, {
    ropeFactors: await read('rope_freqs.weight'),
    shortFactors: await read('rope_factors_short.weight'),
    longFactors: await read('rope_factors_long.weight'),
  })
}

function convertLlama({ values, prefix, tensors }: Common): Config {
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

function convertQwen2(): Config {
  return {
    model_type: 'qwen2',
    architectures: ['Qwen2ForCausalLM'],
    use_sliding_window: false,
    sliding_window: null,
  }
}

function convertQwen3({ tensors }: Common): Config {
  const attention_bias = tensors.has('blk.0.attn_q.bias')
  return {
    model_type: 'qwen3',
    architectures: ['Qwen3ForCausalLM'],
    attention_bias,
    use_sliding_window: false,
    sliding_window: null,
  }
}

/** Every sixth layer sees the whole context; the others a window, with RoPE of their own. */
function convertGemma3({
  values,
  prefix,
  hiddenSize,
  layers,
  heads,
  headDim,
  rope,
}: Common): Config {
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

function convertPhi3({ values, prefix, headDim, rope }: Common): Config {
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
function convertSmollm3({ tensors, layers }: Common): Config {
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

function readHeadDimension(values: GgufValues, prefix: string, fallback: number): number {
  const key = values.number(`${prefix}.attention.key_length`) ?? fallback
  const value = values.number(`${prefix}.attention.value_length`) ?? key
  if (key !== value)
    throw new UnsupportedError(
      `GGUF: heads whose keys (${key}) and values (${value}) differ in width are not supported.`,
    )
  if (!Number.isInteger(key))
    throw new FormatError(
      `GGUF: ${prefix}.embedding_length is not a multiple of ${prefix}.attention.head_count (width of a head: ${key}).`,
    )
  return key
}

function readVocabularySize(values: GgufValues, prefix: string): number {
  const size =
    values.number(`${prefix}.vocab_size`) ?? values.strings('tokenizer.ggml.tokens')?.length
  if (size === undefined)
    throw new FormatError(
      `GGUF metadata: neither "${prefix}.vocab_size" nor "tokenizer.ggml.tokens" is there.`,
    )
  return size
}

/** Where a file names an end of turn and an end of text, both end a generation. */
function readTokenIds(values: GgufValues): Config {
  const id = (name: string): number | undefined => values.number(`tokenizer.ggml.${name}_token_id`)
  const bos = id('bos')
  const eos = id('eos')
  const endOfTurn = id('eot')
  const pad = id('padding')
  const ends = [...new Set([eos, endOfTurn].filter((end) => end !== undefined))]
  return {
    ...(bos !== undefined && { bos_token_id: bos }),
    ...(ends.length > 0 && { eos_token_id: ends.length === 1 ? ends[0] : ends }),
    ...(pad !== undefined && { pad_token_id: pad }),
  }
}

/** The shortest decimal that rounds to the same 32-bit float: 1e-5 for 9.999999747378752e-6. */
function shortenFloat(value: number): number {
  for (let digits = 1; digits < 9; digits++) {
    const short = Number(value.toPrecision(digits))
    if (Math.fround(short) === Math.fround(value)) return short
  }
  return value
}
