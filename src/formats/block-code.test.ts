import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { random } from '../base/random.ts'
import {
  listBadScales,
  type BlockCodeName,
  blockCodes,
  computeBlockSizes,
  decodeBlocks,
  encodeBlocks,
} from './block-code.ts'
import { toFloat32 } from './convert.ts'

const normals = (count: number, seed = 1): Float32Array => {
  const { normal } = random(seed)
  return Float32Array.from({ length: count }, normal)
}
const through = (name: BlockCodeName, values: Float32Array): Float32Array =>
  decodeBlocks(blockCodes[name], encodeBlocks(blockCodes[name], values), values.length)
const errorOf = (got: Float32Array, expected: Float32Array): number =>
  Math.sqrt(
    expected.reduce((sum, value, i) => sum + (value - got[i]!) ** 2, 0) /
      expected.reduce((sum, value) => sum + value * value, 0),
  )

/** The formula as it is written down. */
function slowly(
  name: BlockCodeName,
  { codes, scales }: ReturnType<typeof encodeBlocks>,
  count: number,
): number[] {
  const scale = toFloat32({ dtype: 'bf16', shape: [scales.length], data: scales })
  return Array.from({ length: count }, (_, i) => {
    const byte = codes[name === 'int4' ? Math.floor(i / 2) : i]!
    const code = name === 'int8' ? byte : (i % 2 === 0 ? byte & 15 : byte >> 4) - 8
    return Math.fround(scale[Math.floor(i / 64)]! * code)
  })
}

describe.each(['int8', 'int4'] as const)('%s', (name) => {
  const code = blockCodes[name]

  it('is read by the written formula, for any number of values', () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 300 }), fc.integer(), (count, seed) => {
        const values = normals(count, seed)
        const blocks = encodeBlocks(code, values)
        expect([blocks.codes.length, blocks.scales.length]).toEqual(
          Object.values(computeBlockSizes(code, count)),
        )
        expect([...decodeBlocks(code, blocks, count)]).toEqual(slowly(name, blocks, count))
      }),
      { seed: 1, numRuns: 50 },
    )
  })

  it('keeps normal numbers to the error that the decision names, at any size', () => {
    const limit = { int8: 0.0065, int4: 0.095 }[name]
    for (const size of [1e-30, 1e-6, 1, 1e30]) {
      const values = normals(64 * 200, 2).map((value) => size * value)
      expect(errorOf(through(name, values), values)).toBeLessThan(limit)
      expect(errorOf(through(name, values), values)).toBeGreaterThan(limit / 2)
    }
  })

  it('gives every block its own scale', () => {
    const values = Float32Array.from(
      { length: 256 },
      (_, i) => 10 ** -Math.floor(i / 64) * Math.sin(i + 1),
    )
    for (let block = 0; block < 4; block++) {
      const from = 64 * block
      const to = 64 * block + 64
      expect(
        errorOf(through(name, values).subarray(from, to), values.subarray(from, to)),
      ).toBeLessThan(0.1)
    }
  })

  it('keeps zeros, and takes numbers too small for a scale as zeros', () => {
    const values = Float32Array.from({ length: 130 }, (_, i) => (i < 64 ? 0 : i < 128 ? 1e-40 : 1))
    const got = through(name, values)
    expect([...got.subarray(0, 128)]).toEqual(Array(128).fill(0))
    expect(got[128]).toBeCloseTo(1, 3)
  })

  it('takes the largest numbers of f32', () => {
    const values = normals(64, 3).map((value) => (value > 0 ? 3e38 : -3e38))
    expect(through(name, values).every(Number.isFinite)).toBe(true)
    expect(errorOf(through(name, values), values)).toBeLessThan(0.1)
  })

  it('comes to the same codes again from what it gave', () => {
    const once = through(name, normals(640, 4))
    expect(errorOf(through(name, once), once)).toBeLessThan(1e-3)
  })
})

it('finds a scale that serves a block better than its largest value does', () => {
  const values = normals(64 * 200, 5)
  const plain = values.slice()
  for (let from = 0; from < plain.length; from += 64) {
    const block = plain.subarray(from, from + 64)
    const scale = Math.max(...block.map(Math.abs)) / 7
    block.forEach((value, i) => (block[i] = scale * Math.round(value / scale)))
  }
  expect(errorOf(through('int4', values), values)).toBeLessThan(0.85 * errorOf(plain, values))
})

it('tells scales that are NaN or infinite', () => {
  expect(listBadScales(Uint16Array.of(0x3f80, 0x7f80, 0xff80, 0x7fc0, 0x8000, 0x7f7f))).toEqual([
    1, 2, 3,
  ])
})
