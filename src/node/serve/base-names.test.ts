import { expect, it } from 'vitest'
import { listBaseAliases } from './base-names.ts'

const createBase = (...dtypes: string[]) => ({
  weights: {
    tensors: new Map(
      dtypes.map((dtype, i) => [`${i}`, { dtype, shape: i === 0 ? [8] : [8, 32], sizeBytes: 1 }]),
    ),
  },
})

it.each([
  [['f32', 'q4_1', 'q4_1', 'q8_0'], ['smollm2'], ['smollm2:q4_1']],
  [
    ['f32', 'q4_1', 'q4_1', 'q8_0'],
    ['smollm2:q4_1', 'SmolLM2'],
    ['smollm2', 'SmolLM2:q4_1'],
  ],
  [['f32', 'q4_1'], ['smollm2:Q4_1'], ['smollm2']],
  [['q4_0', 'bf16', 'bf16', 'q8_0'], ['smollm2'], []],
  [['f32'], ['smollm2'], []],
])('weights in %j named %j are also %j', (dtypes, names, expected) => {
  expect(listBaseAliases(createBase(...dtypes) as never, names)).toEqual(expected)
})
