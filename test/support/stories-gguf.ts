// The embedded stories model as a GGUF file that llama.cpp takes: names and order of rows as its
// converter writes them, weights in f32.

import { readFile } from 'node:fs/promises'
import type { Tensor } from '../../src/base/tensor.ts'
import { toGgufName } from '../../src/formats/gguf/names.ts'
import type { GgufEntry } from '../../src/formats/gguf/types.ts'
import { encodeGguf } from '../../src/formats/gguf/writer.ts'
import { interleaveRotaryRows } from '../../src/formats/rotary-rows.ts'
import type { BaseModel } from '../../src/graph/index.ts'

const tokenizerFile = new URL(
  '../../src/catalogue/models/stories260k/tokenizer.json',
  import.meta.url,
)
const integer = (value: number): GgufEntry => ({ type: 'u32', value })
const float = (value: number): GgufEntry => ({ type: 'f32', value })
const text = (value: string): GgufEntry => ({ type: 'string', value })

/** llama.cpp's kinds of tokens: 1 normal, 2 unknown, 3 control, 6 a byte. */
const typeOf = (token: string, id: number): number =>
  id === 0 ? 2 : id < 3 ? 3 : token.startsWith('<0x') ? 6 : 1

/** The tokenizer of stories260k as metadata. */
export async function tokenizerEntries(): Promise<Record<string, GgufEntry>> {
  const { model } = JSON.parse(await readFile(tokenizerFile, 'utf8')) as {
    model: { vocab: Record<string, number> }
  }
  const tokens = Object.entries(model.vocab)
    .toSorted(([, a], [, b]) => a - b)
    .map(([token]) => token)
  return {
    'tokenizer.ggml.model': text('llama'),
    'tokenizer.ggml.tokens': { type: 'string[]', value: tokens },
    'tokenizer.ggml.scores': { type: 'f32[]', value: Float32Array.from(tokens, (_, id) => -id) },
    'tokenizer.ggml.token_type': { type: 'i32[]', value: Int32Array.from(tokens, typeOf) },
    'tokenizer.ggml.bos_token_id': integer(1),
    'tokenizer.ggml.eos_token_id': integer(2),
  }
}

/**
 * The file's chunks. Untied: the head has a copy of the embedding's weight, so that adapters may
 * act on either.
 */
export async function storiesGguf(
  { config, weights }: BaseModel,
  { untied = false } = {},
): Promise<Generator<Uint8Array>> {
  const metadata: Record<string, GgufEntry> = {
    'general.architecture': text('llama'),
    'general.file_type': integer(0),
    'llama.context_length': integer(config.maxPositions),
    'llama.embedding_length': integer(config.width),
    'llama.block_count': integer(config.layers.length),
    'llama.feed_forward_length': integer(config.feedForward),
    'llama.attention.head_count': integer(config.heads),
    'llama.attention.head_count_kv': integer(config.kvHeads),
    'llama.attention.layer_norm_rms_epsilon': float(config.normEpsilon),
    'llama.rope.dimension_count': integer(config.headWidth),
    'llama.rope.freq_base': float(10000),
    'llama.vocab_size': integer(config.vocabularySize),
    ...(await tokenizerEntries()),
  }
  const tensors = new Map<string, Tensor>()
  for (const name of weights.tensors.keys()) {
    const tensor = await weights.read(name)
    const heads = name.endsWith('.q_proj.weight')
      ? config.heads
      : name.endsWith('.k_proj.weight')
        ? config.kvHeads
        : undefined
    tensors.set(
      toGgufName(name, 'llama')!,
      heads === undefined ? tensor : interleaveRotaryRows(tensor, heads),
    )
  }
  if (untied) tensors.set('output.weight', tensors.get('token_embd.weight')!)
  return encodeGguf({ metadata: new Map(Object.entries(metadata)), tensors })
}
