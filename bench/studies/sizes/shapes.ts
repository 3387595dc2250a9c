// Llama shapes with random Q4_0 weights and the tokenizer of SmolLM2, written as GGUF one tensor at
// a time: what a model of that size costs does not depend on what its weights say.

import { stat } from 'node:fs/promises'
import { join } from 'node:path'
import { random } from '../../../src/base/random.ts'
import { f32, type Tensor } from '../../../src/base/tensor.ts'
import { openGguf } from '../../../src/formats/gguf/reader.ts'
import type { GgufEntry } from '../../../src/formats/gguf/types.ts'
import { encodeGgufStream, type GgufTensorHead } from '../../../src/formats/gguf/writer.ts'
import { toF16Bits } from '../../../src/formats/half.ts'
import { createFileSink } from '../../../src/node/files/file-sink.ts'
import { resolveModel } from '../../../src/node/models/resolve.ts'

export interface Shape {
  readonly name: string
  readonly width: number
  readonly layers: number
  readonly heads: number
  readonly kvHeads: number
  readonly feedForward: number
}

export const shapes: readonly Shape[] = [
  { name: '1.1B', width: 2048, layers: 16, heads: 32, kvHeads: 8, feedForward: 8192 },
  { name: '2.8B', width: 3072, layers: 28, heads: 24, kvHeads: 8, feedForward: 8192 },
  // Mistral 7B's
  { name: '7B', width: 4096, layers: 32, heads: 32, kvHeads: 8, feedForward: 14336 },
]

const tokenizerModel = 'smollm2-135m-instruct:q4_1'

/** The path of a shape's file in the folder; writes it where it is not there. */
export async function writeShape(shape: Shape, folder: string): Promise<string> {
  const name = `shape-${shape.name}.gguf`
  const path = join(folder, name)
  if (await stat(path).catch(() => undefined)) return path
  const heads = listTensors(shape, await readVocabulary())
  const metadata = await createMetadata(shape)
  const numbers = random(1)
  await createFileSink(folder).write(
    name,
    encodeGgufStream(metadata, heads, async (tensor) => createTensor(heads.get(tensor)!, numbers)),
  )
  return path
}

async function openTokenizer() {
  const source = await resolveModel(tokenizerModel)
  if (!('gguf' in source)) throw new Error(`${tokenizerModel} is no GGUF file`)
  return openGguf(source.gguf)
}

async function readVocabulary(): Promise<number> {
  const file = await openTokenizer()
  const [vocabulary] = file.tensors.get('token_embd.weight')!.shape
  await file.close()
  return vocabulary!
}

async function createMetadata(shape: Shape): Promise<Map<string, GgufEntry>> {
  const file = await openTokenizer()
  const entries = [...file.metadata].map(
    ([key, value]) => [key, { type: file.metadataTypes.get(key), value } as GgufEntry] as const,
  )
  await file.close()
  const changes = {
    context_length: 8192,
    embedding_length: shape.width,
    block_count: shape.layers,
    feed_forward_length: shape.feedForward,
    'attention.head_count': shape.heads,
    'attention.head_count_kv': shape.kvHeads,
    'rope.dimension_count': shape.width / shape.heads,
  }
  const changed = Object.entries(changes).map(
    ([key, value]) => [`llama.${key}`, { type: 'u32', value } as GgufEntry] as const,
  )
  return new Map([...entries, ...changed])
}

function listTensors(
  { width, layers, heads, kvHeads, feedForward }: Shape,
  vocabulary: number,
): Map<string, GgufTensorHead> {
  const kvWidth = (width / heads) * kvHeads
  const matrix = (rows: number, columns: number): GgufTensorHead => ({
    dtype: 'q4_0',
    shape: [rows, columns],
  })
  const norm: GgufTensorHead = { dtype: 'f32', shape: [width] }
  const inLayer = {
    attn_norm: norm,
    attn_q: matrix(width, width),
    attn_k: matrix(kvWidth, width),
    attn_v: matrix(kvWidth, width),
    attn_output: matrix(width, width),
    ffn_norm: norm,
    ffn_gate: matrix(feedForward, width),
    ffn_up: matrix(feedForward, width),
    ffn_down: matrix(width, feedForward),
  }
  return new Map([
    ['token_embd.weight', matrix(vocabulary, width)],
    ['output_norm.weight', norm],
    ...Array.from({ length: layers }, (_, layer) =>
      Object.entries(inLayer).map(([part, head]) => [`blk.${layer}.${part}.weight`, head] as const),
    ).flat(),
  ])
}

function createTensor(
  { dtype, shape }: GgufTensorHead,
  numbers: ReturnType<typeof random>,
): Tensor {
  if (dtype === 'f32') return f32(shape, new Float32Array(shape[0]!).fill(1))
  const [rows, columns] = shape as [number, number]
  const data = new Uint8Array(((rows * columns) / 32) * 18)
  // One random block of 64 KiB, shifted by a random number of bytes at a time: filling gigabytes
  // byte by byte takes minutes.
  const noise = Uint8Array.from({ length: 65_536 }, () => numbers.integer(256))
  for (let at = 0; at < data.length; at += 32_768)
    data.set(
      noise.subarray(numbers.integer(32_768)).subarray(0, Math.min(32_768, data.length - at)),
      at,
    )
  const scale = toF16Bits(0.02 / Math.sqrt(columns / 576))
  for (let at = 0; at < data.length; at += 18) {
    data[at] = scale & 255
    data[at + 1] = scale >> 8
  }
  return { dtype, shape, data }
}
