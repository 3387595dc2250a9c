import { expect, it } from 'vitest'
import { OptionError } from '../../base/errors.ts'
import { type Observation, resolveWeights, type TrainingExample } from './training-example.ts'

const head = { width: 2, vocabularySize: 10 }
const example: TrainingExample = { hidden: new Float32Array(4), tokens: [1, 2] }

it('weighs every token with 1 where no weights are given', () => {
  expect(resolveWeights(example, head)).toEqual([1, 1])
  expect(resolveWeights({ ...example, weights: [0.5, -1] }, head)).toEqual([0.5, -1])
})

it('refuses an example whose parts do not fit, with everything that is wrong', () => {
  const wrong = { ...example, tokens: [1, 10, 3], weights: [1, NaN], observations: [] }
  expect(() => resolveWeights(wrong, head)).toThrow(OptionError)
  expect(() => resolveWeights(wrong, head)).toThrow(
    /4 numbers.*expected 3 states of 2.*weights has 2 numbers.*observations has 0 entries.*vocabulary of 10/,
  )
  expect(() => resolveWeights({ hidden: new Float32Array(0), tokens: [] }, head)).toThrow(
    /tokens is empty/,
  )
  const observations = [{}, {}] as Observation[]
  expect(resolveWeights({ ...example, observations }, head)).toEqual([1, 1])
})
