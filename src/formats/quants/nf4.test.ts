import { createHash } from 'node:crypto'
import { describe, expect, it } from 'vitest'
import { random } from '../../base/random.ts'
import { dequantizeInt8, quantizeInt8 } from './int8.ts'
import {
  dequantizeNf4,
  computeDynamicMap,
  type Nf4,
  dequantizeAbsmax,
  nf4Levels,
  quantizeNf4,
} from './nf4.ts'

const hashOf = (values: Float32Array | Uint8Array): string =>
  createHash('sha256').update(values).digest('hex')

const normals = (count: number, seed = 1): Float32Array => {
  const numbers = random(seed)
  return Float32Array.from(
    { length: count },
    (_, i) => 0.02 * numbers.normal() * (1 + (Math.floor(i / 64) % 5)),
  )
}

/**
 * Values that Python makes the same: i·2654435761 mod 2³² spread over [−0.5, 0.5), larger in later
 * blocks of seven.
 */
const shared = Float32Array.from(
  { length: 64 * 300 },
  (_, i) => (((i * 2654435761) % 4294967296) / 4294967296 - 0.5) * (1 + (Math.floor(i / 64) % 7)),
)

/** The formula as it is written down, one value after the other, in double precision. */
function slowReference(values: Float32Array): { codes: number[]; absmaxCodes: number[] } {
  const closest = (levels: readonly number[], x: number): number =>
    levels.reduce(
      (best, level, i) => (Math.abs(x - level) < Math.abs(x - levels[best]!) ? i : best),
      0,
    )
  const levels = Array.from(nf4Levels)
  const blocks = Array.from({ length: values.length / 64 }, (_, b) =>
    Array.from(values.subarray(64 * b, 64 * b + 64)),
  )
  const absmax = blocks.map((block) => Math.max(...block.map(Math.abs)))
  const codes = blocks.flatMap((block, b) => block.map((x) => closest(levels, x / absmax[b]!)))
  const offset = Math.fround(absmax.reduce((sum, x) => sum + x, 0) / absmax.length)
  const centred = absmax.map((x) => Math.fround(x - offset))
  const map = Array.from(computeDynamicMap())
  const absmaxCodes = centred.map((x, i) => {
    const from = Math.floor(i / 256) * 256
    return closest(map, x / Math.max(...centred.slice(from, from + 256).map(Math.abs)))
  })
  return { codes, absmaxCodes }
}

const nibbles = ({ codes }: Nf4): number[] => [...codes].flatMap((byte) => [byte >> 4, byte & 15])

describe('NF4', () => {
  it('is the written formula, code for code, over more than one block of magnitudes', () => {
    const values = normals(64 * 300)
    const got = quantizeNf4(values)
    const expected = slowReference(values)
    expect(nibbles(got)).toEqual(expected.codes)
    expect([...got.absmaxCodes.subarray(0, 300)]).toEqual(expected.absmaxCodes)
    expect(got.absmaxCodes.length).toBe(512)
  })

  it("has bitsandbytes' codes and maps, bit for bit", () => {
    // bitsandbytes 0.50.2 on a CPU: quantize_4bit(x, blocksize=64, quant_type='nf4',
    // compress_statistics=True), create_dynamic_map().
    expect(hashOf(computeDynamicMap())).toBe(
      'e732639a65f497b4ad684bb166a4467708255edd5207757de8b8f0c7e1fda89c',
    )
    expect(hashOf(quantizeNf4(shared).codes)).toBe(
      'af5edfd2cb09814930648ff32a83eecf7b4a0a06bb0b7b5d0310b3f5df0bb794',
    )
  })

  it("reads bitsandbytes' magnitudes to its values, bit for bit", () => {
    // Its mean is summed in f32, two last places from the exact one here: the rest is read with its
    // mean.
    const absmax = Float32Array.from({ length: 300 }, (_, b) =>
      Math.max(...shared.subarray(64 * b, 64 * b + 64).map(Math.abs)),
    )
    const absmaxScales = Float32Array.of(1.5203114748001099, 1.5174137353897095)
    const absmaxOffset = 1.9778848886489868
    const map = computeDynamicMap()
    const absmaxCodes = new Uint8Array(512)
    absmax.forEach((value, i) => {
      const x = Math.fround(value - absmaxOffset) / absmaxScales[Math.floor(i / 256)]!
      absmaxCodes[i] = map.reduce(
        (best, level, at) => (Math.abs(x - level) < Math.abs(x - map[best]!) ? at : best),
        0,
      )
    })
    // Two of the 300 lie close to a border, and its CPU path takes the farther neighbour there;
    // ours is always the nearest.
    for (const place of [234, 275]) absmaxCodes[place]! -= 1
    expect(hashOf(absmaxCodes.subarray(0, 300))).toBe(
      '0a50fcff622dc5bbff8a7c6477a1f59a9ce5ff54b4258a16147f2ce1948eb60f',
    )
    const values = dequantizeNf4({
      codes: quantizeNf4(shared).codes,
      absmaxCodes,
      absmaxScales,
      absmaxOffset,
    })
    expect(hashOf(values)).toBe('99be2c9e5d33926575e9aaf3e6ff50bb2231b625e31f85518067caaba291ce93')
    expect(Math.abs(quantizeNf4(shared).absmaxOffset - absmaxOffset)).toBeLessThan(1e-6)
  })

  it('keeps zeros and the largest value of a block, and magnitudes to a hundredth', () => {
    const values = normals(64 * 512, 3)
    values.fill(0, 64, 128)
    const got = quantizeNf4(values)
    const back = dequantizeNf4(got)
    expect(back.subarray(64, 128).every((value) => value === 0 || Math.abs(value) < 1e-12)).toBe(
      true,
    )
    const absmax = dequantizeAbsmax(got, 512)
    const spread = got.absmaxScales[0]!
    for (const block of [0, 2, 100, 511]) {
      const largest = Math.max(...values.subarray(64 * block, 64 * block + 64).map(Math.abs))
      expect(Math.abs(absmax[block]! - largest)).toBeLessThan(0.01 * spread)
    }
  })

  it('takes equal magnitudes, whose spread is nothing', () => {
    const values = Float32Array.from({ length: 128 }, (_, i) => (i % 2 ? 0.5 : -0.5))
    expect([...dequantizeNf4(quantizeNf4(values))]).toEqual([...values])
  })
})

describe('int8 blocks', () => {
  it('are within half a step of the values, zeros exact, the largest kept', () => {
    const values = normals(640, 5)
    values.fill(0, 64, 128)
    const got = quantizeInt8(values, 64)
    const back = dequantizeInt8(got)
    values.forEach((value, i) =>
      expect(Math.abs(back[i]! - value)).toBeLessThanOrEqual(
        0.5001 * got.scales[Math.floor(i / 64)]!,
      ),
    )
    expect(back.subarray(64, 128)).toEqual(new Float32Array(64))
    expect(Math.max(...got.codes)).toBe(127)
  })
})
