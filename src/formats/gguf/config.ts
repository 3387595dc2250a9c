// The config.json of Hugging Face from the metadata of a GGUF file. Reads no weights.

import { FormatError, UnsupportedError } from '../../base/errors.ts'
import type { F32Tensor } from '../../base/tensor.ts'
import type { GgufFile } from './types.ts'
import { type GgufRopeFactors, readGgufRope } from './rope.ts'
import { architectureConfigs, type ConfigJson } from './architecture-configs.ts'
import { type GgufMetadata, type GgufValues, createGgufValues, shortenFloat } from './values.ts'

/**
 * The config.json of a GGUF model. `tensors` has the file's own tensor names
 * (`blk.0.attn_q.weight`). Throws UnsupportedError for an architecture or RoPE scaling that is not
 * supported, FormatError if a needed key is missing.
 */
export function convertGgufConfig(
  metadata: GgufMetadata,
  tensors: { has(name: string): boolean },
  factors: GgufRopeFactors = {},
): ConfigJson {
  const values = createGgufValues(metadata)
  const prefix = values.string('general.architecture')
  if (prefix === undefined)
    throw new FormatError(
      'This GGUF does not name its architecture: the key "general.architecture" is missing.',
    )
  const extra = Object.hasOwn(architectureConfigs, prefix) ? architectureConfigs[prefix] : undefined
  if (!extra)
    throw new UnsupportedError(
      `GGUF architecture "${prefix}" is not supported; supported: ${Object.keys(architectureConfigs).join(', ')}.`,
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
    num_key_value_heads: readKeyHeads(values, prefix, heads),
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
): Promise<ConfigJson> {
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

/** One number, or one for each layer: 0 in layers without attention. */
function readKeyHeads(values: GgufValues, prefix: string, heads: number): number {
  const key = `${prefix}.attention.head_count_kv`
  const byLayer = values.isList(key) ? values.numbers(key) : undefined
  if (!byLayer) return values.number(key) ?? heads
  const found = [...new Set(byLayer.filter((count) => count > 0))]
  if (found.length <= 1) return found[0] ?? heads
  throw new UnsupportedError(
    `GGUF: layers with different numbers of key heads (${found.join(', ')}) are not supported.`,
  )
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
function readTokenIds(values: GgufValues): ConfigJson {
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
