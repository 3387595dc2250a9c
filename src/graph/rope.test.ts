import { describe, expect, it } from 'vitest'
import { FormatError, UnsupportedError } from '../base/errors.ts'
import type { RopeConfig } from './model-config.ts'
import { readRope, readRopeParameters } from './models/read-rope.ts'
import { computeContextLimit, computeRopeTables, getSharedRopeTables } from './rope.ts'

const config = { maxPositions: 64 }
const plain: RopeConfig = { theta: 10_000, width: 8 }
const angleOf = (
  rope: RopeConfig,
  pair: number,
  position: number,
  sequenceLength?: number,
): number => {
  const { cos, sin } = computeRopeTables(rope, config, position + 1, sequenceLength)
  const at = position * (rope.width / 2) + pair
  return Math.atan2(sin.data[at]!, cos.data[at]!)
}

describe('computeRopeTables', () => {
  it('turns pair i of position p by p·θ^(−2i/r)', () => {
    const { cos, sin } = computeRopeTables(plain, config, 3)
    expect([cos.shape, sin.shape]).toEqual([
      [3, 4],
      [3, 4],
    ])
    expect([...cos.data.slice(0, 4)]).toEqual([1, 1, 1, 1])
    expect(angleOf(plain, 0, 2)).toBeCloseTo(2, 6)
    expect(angleOf(plain, 1, 2)).toBeCloseTo(0.2, 6)
    expect(angleOf(plain, 3, 2)).toBeCloseTo(0.002, 6)
  })
  it('linear divides every angle by the factor', () => {
    expect(angleOf({ ...plain, scaling: { type: 'linear', factor: 4 } }, 0, 6)).toBeCloseTo(1.5, 6)
  })
  it('dynamic stretches θ only beyond the trained length', () => {
    const rope: RopeConfig = { ...plain, scaling: { type: 'dynamic', factor: 4 } }
    expect(angleOf(rope, 1, 3, 64)).toBe(angleOf(plain, 1, 3))
    const theta = 10_000 * ((4 * 96) / 64 - 3) ** (8 / 6)
    expect(angleOf(rope, 1, 3, 96)).toBeCloseTo(3 * theta ** (-2 / 8), 6)
  })
  it('llama3 keeps short waves and divides long ones', () => {
    const scaling = {
      type: 'llama3',
      factor: 8,
      lowFrequencyFactor: 1,
      highFrequencyFactor: 4,
      originalMaxPositions: 64,
    } as const
    // wave of 6.3 positions, below 64/4
    expect(angleOf({ ...plain, scaling }, 0, 2)).toBe(angleOf(plain, 0, 2))
    // wave of 628, above 64
    expect(angleOf({ ...plain, scaling }, 2, 2)).toBeCloseTo(angleOf(plain, 2, 2) / 8, 8)
    const between = angleOf({ ...plain, scaling }, 1, 2) // wave of 62.8: smooth = (64/62.8 − 1)/3
    const smooth = (64 / (20 * Math.PI) - 1) / 3
    expect(between).toBeCloseTo(0.2 * ((1 - smooth) / 8 + smooth), 7)
  })
  it('yarn scales cos and sin by 0.1·ln(factor) + 1, or as the config says', () => {
    const scaling = { type: 'yarn', factor: 4, originalMaxPositions: 64 } as const
    const first = (extra: object): number =>
      computeRopeTables({ ...plain, scaling: { ...scaling, ...extra } }, config, 1).cos.data[0]!
    expect(first({})).toBeCloseTo(0.1 * Math.log(4) + 1, 6)
    expect(first({ attentionFactor: 1.25 })).toBe(1.25)
    expect(first({ mscale: 0.8, mscaleAllDim: 0.8 })).toBe(1)
    expect(first({ mscale: 2, mscaleAllDim: 1 })).toBeCloseTo(
      (0.2 * Math.log(4) + 1) / (0.1 * Math.log(4) + 1),
      6,
    )
  })
  it('longrope divides each frequency by its own number: the long list in a context beyond the original', () => {
    const scaling = {
      type: 'longrope',
      factor: 4,
      originalMaxPositions: 16,
      shortFactor: [1, 1.5, 2, 2.5],
      longFactor: [1, 2, 4, 8],
    } as const
    const rope: RopeConfig = { ...plain, scaling: { ...scaling, attentionFactor: 1 } }
    for (const [pair, divisor] of scaling.longFactor.entries()) {
      expect(angleOf(rope, pair, 1)).toBeCloseTo(10_000 ** (-pair / 4) / divisor, 6)
      expect(angleOf(rope, pair, 1, 2), 'whatever the length').toBe(angleOf(rope, pair, 1))
    }
    const opened = computeRopeTables(rope, { maxPositions: 16 }, 2)
    expect(Math.atan2(opened.sin.data[7]!, opened.cos.data[7]!)).toBeCloseTo(0.001 / 2.5, 8)
    const { cos } = computeRopeTables({ ...plain, scaling }, config, 1)
    expect(cos.data[0]).toBeCloseTo(Math.sqrt(1 + Math.log(4) / Math.log(16)), 6)
    const same = computeRopeTables({ ...plain, scaling: { ...scaling, factor: 1 } }, config, 1)
    expect(same.cos.data[0]).toBe(1)
  })
  it('yarn keeps fast pairs, divides slow ones, and rounds the bounds by default not to', () => {
    const scaling = {
      type: 'yarn',
      factor: 4,
      originalMaxPositions: 64,
      attentionFactor: 1,
      betaFast: 8,
      betaSlow: 1,
    } as const
    expect(angleOf({ ...plain, scaling }, 0, 2)).toBeCloseTo(2, 6)
    expect(angleOf({ ...plain, scaling }, 3, 2)).toBeCloseTo(0.002 / 4, 8)
    const untruncated = angleOf({ ...plain, scaling: { ...scaling, truncate: false } }, 1, 2)
    expect(untruncated).not.toBeCloseTo(angleOf({ ...plain, scaling }, 1, 2), 4)
  })
})

describe('sharedRopeTables', () => {
  it('makes a table once, for a power of two of rows, and anew only for a longer one', () => {
    const rope = { ...plain }
    const first = getSharedRopeTables(rope, config, 10)
    expect(first.cos.shape).toEqual([64, 4])
    expect(getSharedRopeTables(rope, config, 64)).toBe(first)
    const longer = getSharedRopeTables(rope, config, 65)
    expect(longer.cos.shape).toEqual([128, 4])
    expect(getSharedRopeTables(rope, config, 3)).toBe(longer)
  })
  it('makes dynamic tables anew where the length beyond the trained context changes', () => {
    const rope: RopeConfig = { ...plain, scaling: { type: 'dynamic', factor: 2 } }
    const short = getSharedRopeTables(rope, config, 10)
    expect(getSharedRopeTables(rope, config, 64)).toBe(short)
    const long = getSharedRopeTables(rope, config, 100)
    expect(long.cos.data[5]).not.toBe(short.cos.data[5])
    expect(getSharedRopeTables(rope, config, 100)).toBe(long)
    expect(getSharedRopeTables(rope, config, 10).cos.data).toEqual(short.cos.data)
  })
})

describe('computeContextLimit', () => {
  it('is the trained length, times the factor of scalings that do not count it in', () => {
    const limit = (scaling?: RopeConfig['scaling']): number =>
      computeContextLimit({
        maxPositions: 64,
        rope: { main: { ...plain, ...(scaling ? { scaling } : {}) } },
      })
    expect(limit()).toBe(64)
    expect(limit({ type: 'linear', factor: 2.5 })).toBe(160)
    expect(limit({ type: 'yarn', factor: 4, originalMaxPositions: 16 })).toBe(64)
    expect(limit({ type: 'longrope', factor: 4, originalMaxPositions: 16 })).toBe(64)
  })
})

describe('reading rotary parameters', () => {
  const defaults = { headWidth: 8, maxPositions: 64, theta: 10_000 }
  const read = (json: Readonly<Record<string, unknown>>): RopeConfig => readRope(json, defaults)

  it('takes both layouts', () => {
    const wanted = { theta: 500, width: 8, scaling: { type: 'linear', factor: 2 } }
    expect(read({ rope_parameters: { rope_theta: 500, rope_type: 'linear', factor: 2 } })).toEqual(
      wanted,
    )
    expect(read({ rope_theta: 500, rope_scaling: { type: 'linear', factor: 2 } })).toEqual(wanted)
    expect(read({})).toEqual({ theta: 10_000, width: 8 })
    expect(read({ rope_scaling: null, rope_theta: 7 })).toEqual({ theta: 7, width: 8 })
  })
  it('takes the original context from the config, from the parameters, or from the context length', () => {
    const original = (json: object, parameters: object = {}): number | undefined =>
      read({ ...json, rope_parameters: { rope_type: 'yarn', factor: 2, ...parameters } }).scaling
        ?.originalMaxPositions
    expect(original({})).toBe(64)
    expect(original({}, { original_max_position_embeddings: 16 })).toBe(16)
    expect(
      original({ original_max_position_embeddings: 32 }, { original_max_position_embeddings: 16 }),
    ).toBe(32)
  })
  it('derives the factor of yarn where it is null', () => {
    const { scaling } = read({
      rope_parameters: { rope_type: 'yarn', factor: null, original_max_position_embeddings: 16 },
    })
    expect(scaling?.factor).toBe(4)
  })
  it('reads longrope, also by its older name', () => {
    const parameters = { short_factor: [1, 1, 1, 2], long_factor: [1, 2, 3, 4] }
    const wanted = {
      type: 'longrope',
      factor: 4,
      originalMaxPositions: 16,
      shortFactor: [1, 1, 1, 2],
      longFactor: [1, 2, 3, 4],
    }
    const json = { original_max_position_embeddings: 16 }
    for (const type of ['longrope', 'su'])
      expect(read({ ...json, rope_scaling: { type, ...parameters } }).scaling).toEqual(wanted)
    const given = { ...parameters, factor: 8, attention_factor: 1.25 }
    expect(read({ ...json, rope_parameters: { rope_type: 'longrope', ...given } }).scaling).toEqual(
      { ...wanted, factor: 8, attentionFactor: 1.25 },
    )
    for (const broken of [undefined, 3, [1, 2, 3], [1, 2, 3, 0], [1, 2, 3, '4']])
      expect(() =>
        read({ rope_scaling: { type: 'longrope', ...parameters, long_factor: broken } }),
      ).toThrow(/"long_factor" has .*, expected 4 numbers above 0/)
  })
  it('turns a part of each head', () => {
    expect(read({ partial_rotary_factor: 0.5 }).width).toBe(4)
    expect(readRopeParameters({ partial_rotary_factor: 0.25 }, {}, defaults).width).toBe(2)
    expect(() => read({ partial_rotary_factor: 0.4 })).toThrow('even count')
  })
  it('refuses what it does not know, and what is missing or no number', () => {
    for (const type of ['proportional', 'toString']) {
      expect(() => read({ rope_scaling: { type, factor: 2 } })).toThrow(UnsupportedError)
    }
    expect(() =>
      read({ rope_scaling: { rope_type: 'default', mrope_section: [2, 1, 1] } }),
    ).toThrow('mrope_section')
    expect(() => read({ rope_parameters: { full_attention: { rope_theta: 1 } } })).toThrow(
      'by type of layer',
    )
    expect(() => read({ rope_scaling: { type: 'linear' } })).toThrow(FormatError)
    expect(() => read({ rope_theta: 'much' })).toThrow('"rope_theta" is "much"')
  })
})
