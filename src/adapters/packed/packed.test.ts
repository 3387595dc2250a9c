import { describe, expect, it } from 'vitest'
import { NumericError, OptionError, ShapeError } from '../../base/errors.ts'
import { random } from '../../base/random.ts'
import { f32, sizeOf, type Tensor } from '../../base/tensor.ts'
import { kernelNames } from '../../base/wasm.ts'
import { blockCodes, decodeBlocks } from '../../formats/block-code.ts'
import { fromFloat32, toFloat32 } from '../../formats/convert.ts'
import { getF16Values } from '../../formats/half.ts'
import { unpackInto, unpackTensor } from './fill.ts'
import {
  countHeldBytes,
  isPackedTensor,
  type PackedTensor,
  packTensor,
  toBlockCodeName,
} from './packed-tensor.ts'
import { addPackedProduct } from './product.ts'
import { createTileHost } from './tile.ts'

const { uniform, normal } = random(11)
const draw = (shape: readonly number[], size = 0.05): Tensor =>
  f32(
    shape,
    Float32Array.from({ length: sizeOf(shape) }, () => size * normal()),
  )
const pick = (from: number, to: number): number => from + Math.floor(uniform() * (to - from + 1))

/** What a tensor's values are, by code that shares nothing with the kernels. */
function valuesOf(tensor: Tensor | PackedTensor): Float32Array {
  if (!isPackedTensor(tensor)) return toFloat32(tensor)
  const { bits, shape, codes, scales, factor } = tensor
  if (bits === 16)
    return toFloat32({ dtype: 'f16', shape, data: codes }).map((value) => value * factor)
  const blocks = { codes: codes as Int8Array | Uint8Array, scales }
  return decodeBlocks(blockCodes[toBlockCodeName(bits)], blocks, sizeOf(shape))
}

const forms: Record<string, (tensor: Tensor) => Tensor | PackedTensor> = {
  f32: (tensor) => tensor,
  f16: ({ shape, data }) => ({
    dtype: 'f16',
    shape,
    data: fromFloat32(data as Float32Array, 'f16'),
  }),
  bf16: ({ shape, data }) => ({
    dtype: 'bf16',
    shape,
    data: fromFloat32(data as Float32Array, 'bf16'),
  }),
  f64: ({ shape, data }) => ({ dtype: 'f64', shape, data: Float64Array.from(data as never) }),
  '16 bits': (tensor) => packTensor(tensor, 16),
  '8 bits': (tensor) => packTensor(tensor, 8),
  '4 bits': (tensor) => packTensor(tensor, 4),
}
const shapes = [
  [1, 1],
  [3, 5],
  [16, 64],
  [7, 191],
  [200, 3],
  [1100, 16],
  [2, 9000],
]

/** The first place where two arrays differ in any bit but NaN's; −1 where they are the same. */
function findDifference(got: Float32Array, wanted: Float32Array): number {
  if (got.length !== wanted.length) return Math.min(got.length, wanted.length)
  for (let i = 0; i < got.length; i++) if (!Object.is(got[i], wanted[i])) return i
  return -1
}

describe.each(kernelNames)('kernels %s', (kind) => {
  const host = createTileHost([kind])

  it.each(Object.keys(forms))('unpack %s to the bit, in any places, times a factor', (form) => {
    for (const shape of shapes) {
      const tensor = forms[form]!(draw(shape, 10 ** pick(-6, 3)))
      const wanted = valuesOf(tensor)
      const [rows, columns] = shape as [number, number]
      for (const scaling of [1, -0.3]) {
        const scaled = wanted.map((value) => value * Math.fround(scaling))
        const whole = new Float32Array(rows * columns)
        unpackInto(whole, tensor, scaling, host)
        expect([shape, findDifference(whole, scaled)]).toEqual([shape, -1])
        const offset = pick(0, 9)
        const rowStride = columns + pick(0, 40)
        const values = new Float32Array(offset + rows * rowStride).fill(7)
        unpackInto({ values, offset, rowStride }, tensor, scaling, host)
        const expected = new Float32Array(values.length).fill(7)
        for (let i = 0; i < rows; i++)
          expected.set(scaled.subarray(i * columns, (i + 1) * columns), offset + i * rowStride)
        expect([shape, findDifference(values, expected)]).toEqual([shape, -1])
        const turned = new Float32Array(rows * columns)
        const across = { values: turned, rowStride: 1, columnStride: rows }
        unpackInto(across, tensor, scaling, host)
        const columnwise = turned.map(
          (_, at) => scaled[(at % rows) * columns + Math.floor(at / rows)]!,
        )
        expect([shape, findDifference(turned, columnwise)]).toEqual([shape, -1])
      }
    }
  })

  it('unpack each of the 65,536 numbers of f16 and bf16, infinity and NaN among them', () => {
    const data = Uint16Array.from({ length: 65_536 }, (_, bits) => bits)
    for (const dtype of ['f16', 'bf16'] as const) {
      const whole = new Float32Array(data.length)
      unpackInto(whole, { dtype, shape: [256, 256], data }, 1, host)
      expect(findDifference(whole, toFloat32({ dtype, shape: [256, 256], data }))).toBe(-1)
    }
    const large = new Float32Array(65_536)
    const huge: PackedTensor = {
      bits: 16,
      shape: [65_536],
      codes: data,
      scales: new Uint16Array(0),
      factor: 2 ** 90,
    }
    unpackInto(large, huge, 1, host)
    expect(
      findDifference(
        large,
        getF16Values().map((value) => value * 2 ** 90),
      ),
    ).toBe(-1)
  })

  it.each(Object.keys(forms))('multiply by %s within the bound of sums in f32', (form) => {
    for (let round = 0; round < 12; round++) {
      const [inFeatures, outFeatures] = [pick(1, 150), pick(1, 150)]
      const rank = round === 0 ? 16 : pick(1, 40)
      const count = [1, 2, 3, 16][round % 4]!
      const scaling = round % 3 === 0 ? undefined : 2 * uniform() - 1
      const A = forms[form]!(draw([rank, inFeatures]))
      const B = forms[form]!(draw([outFeatures, rank]))
      const x = draw([count, inFeatures], 1).data as Float32Array
      const y = draw([count, outFeatures], 1).data as Float32Array
      const before = y.slice()
      addPackedProduct(y, x, { A, B, scaling }, host)
      const { sums, bounds } = computeReference(before, x, {
        A: valuesOf(A),
        B: valuesOf(B),
        scaling: scaling ?? 1,
        sizes: [count, rank, inFeatures, outFeatures],
      })
      expect(y.findIndex((value, i) => !(Math.abs(value - sums[i]!) <= bounds[i]!))).toBe(-1)
    }
  })
})

/**
 * y + scaling·B·(A·x) in f64, and how far a product in f32 may be off: (in + R + 4)·2^-24 of the
 * sum of all magnitudes.
 */
function computeReference(
  y: Float32Array,
  x: Float32Array,
  {
    A,
    B,
    scaling,
    sizes: [count, rank, inFeatures, outFeatures],
  }: {
    A: Float32Array
    B: Float32Array
    scaling: number
    sizes: [number, number, number, number]
  },
) {
  const sums = Float64Array.from(y)
  const bounds = new Float64Array(y.length)
  for (let t = 0; t < count; t++) {
    for (let o = 0; o < outFeatures; o++) {
      let sum = 0
      let magnitude = Math.abs(y[t * outFeatures + o]!)
      for (let r = 0; r < rank; r++) {
        const b = scaling * B[o * rank + r]!
        for (let c = 0; c < inFeatures; c++) {
          const product = b * A[r * inFeatures + c]! * x[t * inFeatures + c]!
          sum += product
          magnitude += Math.abs(product)
        }
      }
      sums[t * outFeatures + o]! += sum
      bounds[t * outFeatures + o] = (inFeatures + rank + 4) * 2 ** -24 * magnitude
    }
  }
  return { sums, bounds }
}

describe('packTensor', () => {
  it('in 16 bits is within 2^-11 of every value, whatever the size of the tensor’s values', () => {
    for (const exponent of [-37, -20, -7, -2, 0, 5, 20, 36]) {
      const tensor = draw([40, 50], 10 ** exponent)
      const values = tensor.data as Float32Array
      const largest = values.reduce((most, value) => Math.max(most, Math.abs(value)), 0)
      const { data } = unpackTensor(packTensor(tensor, 16))
      const isOff = (value: number, i: number): boolean =>
        Math.abs(data[i]! - value) > 2 ** -11 * Math.abs(value) + 2 ** -39 * largest + 2 ** -149
      expect([exponent, values.findIndex(isOff)]).toEqual([exponent, -1])
    }
  })
  it('takes half, a quarter and an eighth of the bytes, and zeros stay zeros', () => {
    const tensor = draw([64, 64])
    const bytes = ([16, 8, 4] as const).map((bits) => countHeldBytes(packTensor(tensor, bits)))
    expect(bytes).toEqual([8192, 4096 + 128, 2048 + 128])
    expect(countHeldBytes(tensor)).toBe(16_384)
    for (const bits of [16, 8, 4] as const)
      expect(unpackTensor(packTensor(f32([3, 50]), bits))).toEqual(f32([3, 50]))
  })
  it('leaves the given tensor as it is', () => {
    const tensor = draw([8, 8])
    const before = (tensor.data as Float32Array).slice()
    packTensor(tensor, 4)
    expect(tensor.data).toEqual(before)
  })
  it('refuses NaN, infinity and other bits by name', () => {
    expect(() => packTensor(f32([2], [1, NaN]), 8, 'q_proj.A')).toThrow(NumericError)
    expect(() => packTensor(f32([2], [1, Infinity]), 16, 'q_proj.A')).toThrow(
      'q_proj.A: contains NaN',
    )
    expect(() => packTensor(f32([2]), 5 as 4)).toThrow('bits: got 5, expected 16, 8, 4')
  })
})

describe('bad input', () => {
  const tensor = packTensor(draw([4, 6]), 8)
  it('of unpackInto writes nothing', () => {
    const values = new Float32Array(30)
    expect(() => unpackInto({ values, rowStride: 9 }, tensor)).toThrow(
      'got 30 values in the target, expected at least 33 for [4, 6] from 0 on, with rows 9',
    )
    expect(() => unpackInto(new Float32Array(23), tensor)).toThrow(ShapeError)
    expect(() => unpackInto({ values, offset: -1 }, tensor)).toThrow(OptionError)
    expect(() => unpackInto({ values, stride: 9 } as never, tensor)).toThrow(
      'there is no option "stride"',
    )
    expect(() => unpackInto(values, tensor, NaN)).toThrow('scaling')
    expect(values.every((value) => value === 0)).toBe(true)
  })
  it('of addPackedProduct leaves y as it is', () => {
    const y = new Float32Array(8)
    const B = packTensor(draw([8, 4]), 8)
    const run = (x: Float32Array, factors: object) => () => addPackedProduct(y, x, factors as never)
    expect(run(new Float32Array(5), { A: tensor, B })).toThrow(
      'got 5 values in x and 8 in y, expected n·6 and n·8',
    )
    expect(run(new Float32Array(6), { A: tensor, B: tensor })).toThrow('expected A [R, in]')
    expect(run(new Float32Array(6), { A: tensor, B, scalig: 2 })).toThrow('Did you mean "scaling"?')
    expect(run(new Float32Array(6), { A: tensor, B, scaling: Infinity })).toThrow('scaling')
    expect([...y]).toEqual(Array.from(y, () => 0))
  })
  it('of rank 0 adds nothing', () => {
    const y = new Float32Array(3).fill(2)
    addPackedProduct(y, new Float32Array(2), { A: f32([0, 2]), B: f32([3, 0]) })
    expect([...y]).toEqual([2, 2, 2])
  })
})
