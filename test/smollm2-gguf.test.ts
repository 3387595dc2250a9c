// The real SmolLM2-135M-Instruct.Q4_1.gguf, fetched through the catalogue, compared with the values
// of gguf-py's quants.py.

import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import type { ByteSource } from '../src/formats/byte-source.ts'
import { toFloat32 } from '../src/formats/convert.ts'
import { openGguf } from '../src/formats/gguf/reader.ts'
import type { GgufFile } from '../src/formats/gguf/types.ts'
import { toHuggingFaceStore } from '../src/formats/gguf/names.ts'
import type { TensorStore } from '../src/formats/tensor-store.ts'
import { smollm2Q4 } from './smollm2.ts'

/** The sum of the f32 bit patterns modulo 2^32: numpy's view(uint32).sum(dtype=uint32). */
function bitSum(values: Float32Array): number {
  let sum = 0
  for (const bits of new Uint32Array(values.buffer, values.byteOffset, values.length))
    sum = (sum + bits) >>> 0
  return sum
}

describe('SmolLM2-135M-Instruct.Q4_1.gguf', () => {
  let missing: string | undefined
  let close: (() => Promise<void>) | undefined
  let file: GgufFile
  let store: TensorStore
  const requested: number[] = []

  beforeAll(async () => {
    const model = await smollm2Q4()
    if ('reason' in model) {
      missing = model.reason
      return
    }
    const { gguf } = model
    close = () => gguf.close?.() ?? Promise.resolve()
    const source: ByteSource = {
      name: gguf.name,
      sizeBytes: gguf.sizeBytes,
      read: (offset, length) => {
        requested.push(length)
        return gguf.read(offset, length)
      },
    }
    file = await openGguf(source)
    store = toHuggingFaceStore(file)
  })
  beforeEach((context) => {
    if (missing !== undefined) context.skip(missing)
  })
  afterAll(() => close?.())

  it('opens with two requests of 1 MiB', () => {
    expect(requested).toEqual([1 << 20, 1 << 20])
    expect(file.metadata.size).toBe(33)
    expect(file.metadata.get('tokenizer.ggml.tokens')).toHaveLength(49_152)
  })

  it('holds 210 tensors in Q4_1, 61 norms in F32 and the embedding in Q8_0', () => {
    const types = Object.groupBy(store.tensors.values(), ({ dtype }) => dtype)
    expect(
      Object.fromEntries(Object.entries(types).map(([type, infos]) => [type, infos.length])),
    ).toEqual({
      q4_1: 210,
      f32: 61,
      q8_0: 1,
    })
  })

  it.each([
    [
      'model.embed_tokens.weight',
      [49152, 576],
      1795528384,
      [-0.0238037109375, -0.015869140625, -0.0396728515625],
    ],
    [
      'model.layers.0.self_attn.q_proj.weight',
      [576, 576],
      3227763200,
      [-0.1591796875, 0.39794921875, -0.0198974609375],
    ],
    [
      'model.layers.29.self_attn.k_proj.weight',
      [192, 576],
      225903104,
      [0.05859375, -0.02734375, 0.1015625],
    ],
    [
      'model.layers.7.mlp.down_proj.weight',
      [576, 1536],
      1848367616,
      [0.39239501953125, -0.20513916015625, -0.1453857421875],
    ],
  ])(
    '%s has the reference’s values, in Hugging Face’s order',
    async (name, shape, sum, secondRow) => {
      const tensor = await store.read(name)
      const values = toFloat32(tensor)
      expect(tensor.shape).toEqual(shape)
      expect([...values.subarray(shape[1]!, shape[1]! + 3)]).toEqual(secondRow)
      expect(bitSum(values)).toBe(sum)
    },
  )

  it('every tensor has the reference’s values', async () => {
    let sum = 0
    for (const name of store.tensors.keys())
      sum = (sum + bitSum(toFloat32(await store.read(name)))) >>> 0
    expect(sum).toBe(3396475072)
  })
})
