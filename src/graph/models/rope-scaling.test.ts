import { describe, expect, it } from 'vitest'
import { OptionError } from '../../base/errors.ts'
import { readOptions } from '../../base/schema.ts'
import { computeContextLimit, computeRopeTables } from '../rope.ts'
import { readRope } from './read-rope.ts'
import { type RopeScalingOptions, ropeScalingField, withRopeScaling } from './rope-scaling.ts'

const defaults = { headWidth: 64, maxPositions: 2048, theta: 10_000 }

it('is what a checkpoint with this scaling has in its config', () => {
  const json = { max_position_embeddings: 2048, rope_theta: 500 }
  const scaled = withRopeScaling(json, { type: 'yarn', factor: 4 })
  expect(scaled['max_position_embeddings']).toBe(8192)
  expect(readRope(scaled, defaults)).toMatchObject({
    theta: 500,
    scaling: { type: 'yarn', factor: 4, originalMaxPositions: 2048 },
  })
  expect(readRope(withRopeScaling(json, { type: 'llama3', factor: 8 }), defaults)).toMatchObject({
    scaling: { type: 'llama3', lowFrequencyFactor: 1, highFrequencyFactor: 4 },
  })
})

it('replaces the config’s own scaling, and keeps theta', () => {
  const json = {
    max_position_embeddings: 4096,
    rope_parameters: { rope_type: 'linear', factor: 2, rope_theta: 700 },
  }
  const scaled = withRopeScaling(json, { type: 'dynamic', factor: 2, originalContext: 2048 })
  expect(readRope(scaled, defaults)).toEqual({
    theta: 700,
    width: 64,
    scaling: { type: 'dynamic', factor: 2 },
  })
})

it.each(['linear', 'dynamic', 'yarn', 'llama3'] as const)(
  'opens a context of factor times the trained one: %s',
  (type) => {
    const json = { max_position_embeddings: 2048 }
    const scaled = withRopeScaling(json, { type, factor: 4 })
    const maxPositions = Number(scaled['max_position_embeddings'])
    const main = readRope(scaled, { ...defaults, maxPositions })
    expect(computeContextLimit({ maxPositions, rope: { main } })).toBe(8192)
    const { cos } = computeRopeTables(main, { maxPositions }, 8192)
    const plain = computeRopeTables({ theta: 10_000, width: 64 }, { maxPositions }, 8192)
    expect(cos.data.at(-1), 'is stretched at its end').not.toBeCloseTo(plain.cos.data.at(-1)!, 3)
  },
)

it('finds the trained context among the parameters, and keeps the part of a head that turns', () => {
  const json = {
    max_position_embeddings: 8192,
    rope_parameters: {
      rope_type: 'yarn',
      factor: 4,
      original_max_position_embeddings: 2048,
      partial_rotary_factor: 0.5,
    },
  }
  const scaled = withRopeScaling(json, { type: 'llama3', factor: 2 })
  expect(scaled['max_position_embeddings']).toBe(4096)
  expect(readRope(scaled, defaults)).toMatchObject({
    width: 32,
    scaling: { type: 'llama3', originalMaxPositions: 2048 },
  })
})

it('keeps the thetas that gemma3 has by type of layer', () => {
  const json = {
    max_position_embeddings: 2048,
    rope_parameters: {
      full_attention: { rope_type: 'default', rope_theta: 5e5 },
      sliding_attention: { rope_type: 'default', rope_theta: 700 },
    },
  }
  expect(withRopeScaling(json, { type: 'linear', factor: 2 })).toMatchObject({
    rope_theta: 5e5,
    rope_local_base_freq: 700,
  })
})

describe('longrope', () => {
  const short = Array.from({ length: 32 }, () => 1)
  const long = Array.from({ length: 32 }, (_, i) => 1 + i)
  const own = {
    max_position_embeddings: 8192,
    original_max_position_embeddings: 2048,
    rope_scaling: { type: 'su', short_factor: short, long_factor: long },
  }
  const open = (json: Record<string, unknown>, scaling: RopeScalingOptions) => {
    const scaled = withRopeScaling(json, scaling)
    const maxPositions = Number(scaled['max_position_embeddings'])
    return { maxPositions, scaling: readRope(scaled, { ...defaults, maxPositions }).scaling }
  }

  it('takes lists for a model that has none', () => {
    const json = { max_position_embeddings: 2048 }
    const lists = { shortFactor: short, longFactor: long }
    expect(open(json, { type: 'longrope', factor: 4, ...lists })).toEqual({
      maxPositions: 8192,
      scaling: { type: 'longrope', factor: 4, originalMaxPositions: 2048, ...lists },
    })
    expect(open(own, { type: 'longrope', originalContext: 1024, ...lists })).toMatchObject({
      maxPositions: 8192,
      scaling: { factor: 8, originalMaxPositions: 1024 },
    })
    expect(() => withRopeScaling(json, { type: 'longrope', factor: 4 })).toThrow(/has none/)
    expect(() => withRopeScaling(json, { type: 'yarn', factor: 4, longFactor: long })).toThrow(
      /longFactor are of type "longrope", got type "yarn"/,
    )
  })
  it('opens a part of the context with the lists and the attention factor of the config', () => {
    expect(open(own, { type: 'longrope', factor: 1 })).toMatchObject({
      maxPositions: 2048,
      scaling: { factor: 4, originalMaxPositions: 2048, shortFactor: short, longFactor: long },
    })
  })
})

it('refuses what is missing or misspelt', () => {
  const read = (ropeScaling: unknown) =>
    readOptions('Options', { ropeScaling } as never, { ropeScaling: ropeScalingField })
  expect(() => read({ type: 'ntk', factor: 2 })).toThrow(/ropeScaling.type: got "ntk"/)
  expect(() => read({ type: 'yarn', faktor: 2 })).toThrow(/faktor.*factor/)
  expect(() => withRopeScaling({}, { type: 'yarn', factor: 2 })).toThrow(OptionError)
  expect(() => withRopeScaling({}, { type: 'yarn' } as never)).toThrow(/type, factor/)
})
