import { expect, it } from 'vitest'
import { OptionError } from '../../base/errors.ts'
import { readOptions } from '../../base/schema.ts'
import { readRope } from './read-rope.ts'
import { ropeScalingField, withRopeScaling } from './rope-scaling.ts'

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
  expect(scaled['max_position_embeddings']).toBe(4096)
  expect(readRope(scaled, defaults)).toEqual({
    theta: 700,
    width: 64,
    scaling: { type: 'dynamic', factor: 2 },
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
