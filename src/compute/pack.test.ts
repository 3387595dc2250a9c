import * as ort from 'onnxruntime-node'
import { describe, expect, it } from 'vitest'
import { blockLayout } from '../base/dtype.ts'
import { ShapeError, UnsupportedError } from '../base/errors.ts'
import { random } from '../base/random.ts'
import { f32, sizeOf, type Tensor } from '../base/tensor.ts'
import { toFloat32 } from '../formats/convert.ts'
import { toF16Bits } from '../formats/half.ts'
import { GraphBuilder } from '../graph/builder.ts'
import type { Backend } from './backend.ts'
import { createOnnxRuntimeBackend } from './onnxruntime.ts'
import {
  type PackedWeight,
  PackRoom,
  packWeight,
  packWeights,
  quantizeWeight,
  splitHalves,
} from './pack.ts'
import { type PackedBlockType, packers } from './packing/packer-table.ts'
import { referenceBackend } from './reference.ts'

const onnx = createOnnxRuntimeBackend(ort as never, { threads: 1 })

/** Positions of the f16 scales in a block: random bytes there would be NaN or huge. */
const f16Fields: Record<PackedBlockType, readonly number[]> = {
  q4_0: [0],
  q4_1: [0, 2],
  q5_0: [0],
  q5_1: [0, 2],
  q8_0: [0],
  q2_k: [80, 82],
  q3_k: [108],
  q4_k: [0, 2],
  q5_k: [0, 2],
  q6_k: [208],
}

function randomBlocks(
  dtype: PackedBlockType,
  shape: readonly [number, number],
  seed = 1,
): Tensor<Uint8Array> {
  const numbers = random(seed)
  const { elements, bytes } = blockLayout[dtype]
  const data = new Uint8Array((sizeOf(shape) / elements) * bytes)
  for (let i = 0; i < data.length; i++) data[i] = numbers.integer(256)
  for (let at = 0; at < data.length; at += bytes) {
    for (const field of f16Fields[dtype]) {
      const bits = toF16Bits((numbers.uniform() - 0.5) * 0.01)
      data[at + field] = bits & 255
      data[at + field + 1] = bits >> 8
    }
  }
  return { dtype, shape, data }
}

/** y = x·Wᵀ over a packed weight. */
async function multiply(
  backend: Backend,
  packed: PackedWeight,
  x: Tensor,
  accuracy: number,
): Promise<Float32Array> {
  const g = new GraphBuilder()
  const { bits, block, inFeatures, outFeatures, codes, scales, offsets } = packed
  const inputs = [
    g.input('x', 'f32', ['M', inFeatures]),
    g.input('codes', 'u8', codes.shape, 'weight'),
    g.weight('scales', scales.shape),
  ]
  if (offsets) inputs.push(g.weight('offsets', offsets.shape))
  g.output(
    'y',
    g.op('quantizedLinear', inputs, {
      bits,
      block,
      inFeatures,
      outFeatures,
      accuracy,
      module: 'm',
    }),
  )
  const initializers = new Map<string, Tensor>([
    ['codes', codes],
    ['scales', scales],
    ...(offsets ? [['offsets', offsets] as const] : []),
  ])
  const program = await backend.compile(g.build(), { initializers })
  const y = (await program.run(new Map([['x', x]]))).get('y')!
  await program.dispose()
  return y.data as Float32Array
}

/** The identity as x: the product is the weight itself, transposed. */
function identity(width: number): Tensor {
  const x = f32([width, width])
  for (let i = 0; i < width; i++) x.data[i * width + i] = 1
  return x
}

const randomInput = (rows: number, width: number): Tensor => {
  const numbers = random(7)
  return f32(
    [rows, width],
    Float32Array.from({ length: rows * width }, () => numbers.normal()),
  )
}

const norm = (values: Float32Array): number =>
  Math.sqrt(values.reduce((sum, value) => sum + value * value, 0))
const distance = (a: Float32Array, b: Float32Array): number =>
  norm(a.map((value, i) => value - b[i]!)) / norm(b)

describe.each(Object.keys(packers) as PackedBlockType[])('packing %s', (dtype) => {
  const rows = 6
  const width = 512
  const weight = randomBlocks(dtype, [rows, width])
  const packed = packWeight(weight)

  it('keeps every value', async () => {
    const values = toFloat32(weight)
    const largest = Math.max(...values.map(Math.abs))
    const transposed = await multiply(referenceBackend, packed, identity(width), 0)
    for (let i = 0; i < values.length; i++) {
      const got = transposed[(i % width) * rows + Math.floor(i / width)]!
      expect(Math.abs(got - values[i]!), `value ${i}`).toBeLessThanOrEqual(1e-6 * largest)
    }
  })

  it.each([1, 7])('multiplies %i rows on ONNX Runtime as on the reference', async (count) => {
    const x = randomInput(count, width)
    const expected = await multiply(referenceBackend, packed, x, 0)
    expect(distance(await multiply(onnx, packed, x, 0), expected)).toBeLessThan(1e-5)
    const fast = distance(await multiply(onnx, packed, x, 4), expected)
    expect(fast).toBeLessThan(0.02) // activations in int8
  })
})

describe('packWeight', () => {
  it('keeps the form that the table promises', () => {
    const { bits, block, codes, scales, offsets } = packWeight(randomBlocks('q4_1', [3, 64]))
    expect([bits, block]).toEqual([4, 32])
    expect([codes.shape, scales.shape, offsets?.shape]).toEqual([[3, 2, 16], [6], [2, 3]])
  })

  it('refuses floats and rows that are no whole blocks', () => {
    expect(() => packWeight(f32([2, 32]))).toThrow(UnsupportedError)
    expect(() => packWeight({ dtype: 'q4_0', shape: [2, 32], data: new Uint8Array(17) })).toThrow(
      ShapeError,
    )
    expect(() => packWeight({ dtype: 'q4_0', shape: [2, 16], data: new Uint8Array(18) })).toThrow(
      ShapeError,
    )
  })
})

describe('weights that are packed as one', () => {
  const room = new PackRoom()
  packWeights([randomBlocks('q4_1', [30, 96])], room) // leaves its numbers there
  it.each([
    ['q4_1', 'q4_1', 'q4_1'],
    ['q4_0', 'q4_1', 'q4_0'],
    ['q5_0', 'q5_1', 'q5_0'],
  ] as const)('are the rows of each one after the other: %s, %s, %s', async (...dtypes) => {
    const weights = [4, 2, 3].map((rows, i) => randomBlocks(dtypes[i]!, [rows, 96], i))
    const parts = weights.map(packWeight)
    const rows = parts.reduce((sum, { outFeatures }) => sum + outFeatures, 0)
    const x = randomInput(2, 96)
    const together = await multiply(referenceBackend, packWeights(weights, room), x, 0)
    const apart = await Promise.all(parts.map((part) => multiply(referenceBackend, part, x, 0)))
    for (let row = 0; row < 2; row++) {
      const expected = apart.flatMap((y, i) => [
        ...y.subarray(row * parts[i]!.outFeatures, (row + 1) * parts[i]!.outFeatures),
      ])
      expect([...together.subarray(row * rows, (row + 1) * rows)]).toEqual(expected)
    }
  })
})

describe('halvesOf', () => {
  it.each(['q8_0', 'q5_1', 'q6_k'] as const)(
    '%s: two 4-bit products add up to the 8-bit one',
    async (dtype) => {
      const packed = packWeight(randomBlocks(dtype, [5, 256]))
      const { high, low } = splitHalves(packed)
      const x = randomInput(3, 256)
      const upper = await multiply(onnx, high, x, 0)
      const lower = await multiply(onnx, low, x, 0)
      expect(
        distance(
          upper.map((value, i) => value + lower[i]!),
          await multiply(referenceBackend, packed, x, 0),
        ),
      ).toBeLessThan(1e-5)
    },
  )
})

describe('quantizeWeight', () => {
  it.each([
    ['q4', 0.15],
    ['q8', 0.01],
  ] as const)('%s stays near the weight', (to, limit) => {
    const weight = randomInput(8, 64)
    const quantized = quantizeWeight(weight, to)!
    expect(distance(toFloat32(quantized), toFloat32(weight))).toBeLessThan(limit)
    expect(packWeight(quantized).bits).toBe(to === 'q4' ? 4 : 8)
  })

  it('leaves widths alone that are no whole blocks', () =>
    expect(quantizeWeight(f32([2, 48]), 'q4')).toBeUndefined())
})
