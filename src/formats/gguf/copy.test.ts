import { describe, expect, it } from 'vitest'
import { f32, type Tensor } from '../../base/tensor.ts'
import { NumericError } from '../../base/errors.ts'
import { joinBytes } from '../../base/concat.ts'
import { toFloat32 } from '../convert.ts'
import { encodeAsDtype, hasWholeBlocks, toWritableType } from '../encode-dtype.ts'
import { openGguf } from './reader.ts'
import { copyGguf } from './copy.ts'
import { mapGgufTensors } from './names.ts'
import type { GgufEntry } from './types.ts'
import { encodeGguf } from './writer.ts'
import { createMemorySource } from '../memory-source.ts'

const counted = (shape: number[], step = 1): Tensor =>
  f32(
    shape,
    Float32Array.from({ length: shape.reduce((a, b) => a * b) }, (_, i) => i * step),
  )
const metadata = new Map<string, GgufEntry>([
  ['general.architecture', { type: 'string', value: 'llama' }],
  ['general.alignment', { type: 'u32', value: 64 }],
  ['llama.attention.head_count', { type: 'u32', value: 2 }],
  ['tokenizer.ggml.tokens', { type: 'string[]', value: ['a', 'b'] }],
])
const tensors = new Map<string, Tensor>([
  [
    'blk.0.attn_q.weight',
    encodeAsDtype(
      'q',
      f32(
        [8, 32],
        Float32Array.from({ length: 256 }, (_, i) => Math.sin(i)),
      ),
      'q4_1',
    ),
  ],
  ['output_norm.weight', counted([3])],
  ['blk.0.attn_v.weight', counted([4, 2])],
])

async function readAll(chunks: AsyncIterable<Uint8Array>): Promise<Uint8Array> {
  const parts: Uint8Array[] = []
  for await (const chunk of chunks) parts.push(chunk)
  return joinBytes(parts)
}

const original = joinBytes(encodeGguf({ metadata, tensors }))
const open = () => openGguf(createMemorySource('model.gguf', original))

describe('ggufCopy', () => {
  it('without changes is the same file', async () => {
    expect(Buffer.compare(await readAll(copyGguf(await open(), new Map())), original)).toBe(0)
  })

  it('replaces, adds, and leaves the rest as it is', async () => {
    const half = encodeAsDtype('v', counted([4, 2], -1) as ReturnType<typeof f32>, 'f16')
    const more = counted([2, 2])
    const changes = new Map([
      ['blk.0.attn_v.weight', { dtype: half.dtype, shape: half.shape, read: async () => half }],
      ['output.weight', { dtype: more.dtype, shape: more.shape, read: async () => more }],
    ])
    const told: string[] = []
    const bytes = await readAll(copyGguf(await open(), changes, (name) => told.push(name)))
    const copy = await openGguf(createMemorySource('copy.gguf', bytes))
    expect([...copy.tensors.keys()]).toEqual([...tensors.keys(), 'output.weight'])
    expect(told).toEqual([...copy.tensors.keys()])
    expect(await copy.read('blk.0.attn_q.weight')).toEqual(tensors.get('blk.0.attn_q.weight'))
    expect(await copy.read('blk.0.attn_v.weight')).toEqual(half)
    expect(await copy.read('output.weight')).toEqual(more)
    expect(copy.metadata).toEqual((await open()).metadata)
    expect(copy.metadataTypes).toEqual((await open()).metadataTypes)
  })

  it('refuses a tensor of another size than declared', async () => {
    const changes = new Map([
      ['output_norm.weight', { dtype: 'f32' as const, shape: [3], read: async () => counted([4]) }],
    ])
    await expect(readAll(copyGguf(await open(), changes))).rejects.toThrow(
      'got 16 bytes, expected 12',
    )
  })
})

it('a tensor arranged for the file is restored to itself, in blocks too', async () => {
  const { restore, arrange } = mapGgufTensors(await open()).get(
    'model.layers.0.self_attn.q_proj.weight',
  )!
  const inFile = tensors.get('blk.0.attn_q.weight')!
  expect(restore(inFile)).not.toEqual(inFile)
  expect(arrange(restore(inFile))).toEqual(inFile)
})

describe('encoded', () => {
  it('keeps a type that can be written, and replaces one that cannot', () => {
    expect(
      ['q4_0', 'q4_1', 'q8_0', 'bf16', 'f16', 'f32', 'f8_e4m3', 'f64'].map((type) =>
        toWritableType(type as 'f32'),
      ),
    ).toEqual([...['q4_0', 'q4_1', 'q8_0', 'bf16', 'f16', 'f32', 'f16', 'f32']])
    expect([
      hasWholeBlocks('q8_0', [2, 48]),
      hasWholeBlocks('q8_0', [3, 64]),
      hasWholeBlocks('f16', [2, 48]),
    ]).toEqual([false, true, true])
  })
  it.each([
    ['q8_0', 0.02],
    ['q4_0', 0.2],
    ['q4_1', 0.2],
    ['f16', 0.001],
    ['bf16', 0.01],
    ['f32', 0],
  ] as const)('%s comes back within %d', (dtype, within) => {
    const values = Float32Array.from({ length: 64 }, (_, i) => Math.cos(7 * i))
    const back = toFloat32(encodeAsDtype('x', f32([2, 32], values), dtype))
    expect(Math.max(...back.map((value, i) => Math.abs(value - values[i]!)))).toBeLessThanOrEqual(
      within,
    )
  })
  it('names a tensor whose values f16 cannot hold', () => {
    expect(() => encodeAsDtype('blk.0.x', f32([1], [70_000]), 'f16')).toThrow(NumericError)
    expect(() => encodeAsDtype('blk.0.x', f32([1], [70_000]), 'f16')).toThrow('blk.0.x')
  })
})
