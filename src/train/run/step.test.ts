import { describe, expect, it } from 'vitest'
import { NumericError } from '../../base/errors.ts'
import { f32, type F32Tensor } from '../../base/tensor.ts'
import type { Batch } from '../batches/batch.ts'
import type { RunState } from './run-state.ts'
import { adamw } from '../optimizers/adamw.ts'
import type { Optimizer } from '../optimizers/optimizer.ts'
import { takeStep, type StepProgram } from './step.ts'
import type { StepRule } from '../optimizers/step-rule.ts'

/** Plain descent, to see what arrives at the optimiser. */
const descent: Optimizer = {
  name: 'descent',
  about: 'plain descent',
  options: {},
  complete: () => ({}),
  stateShapes: () => ({}),
  update: ({ parameter, gradient, learningRate }) =>
    gradient.forEach((value, i) => (parameter[i]! -= learningRate * value)),
}
const rule = (changed: Partial<StepRule> = {}): StepRule => ({
  optimizer: descent,
  settings: {},
  clip: 0,
  rateOf: () => 1,
  ...changed,
})
const stateOf = (optimizer: RunState['optimizer'] = new Map()): RunState => ({
  step: 6,
  parameters: new Map([
    ['A', f32([2], [1, 2])],
    ['B', f32([1], [3])],
  ]),
  optimizer,
  steps: [],
  validations: [],
})
const batches = [{}, {}] as unknown as Batch[]

/** A program that gives out prepared results, one a batch. */
function programOf(
  ...results: { loss: number; A: number[]; B: number[] }[]
): StepProgram & { seeds: number[] } {
  const seeds: number[] = []
  return {
    seeds,
    async gradients(_batch, _parameters, { dropoutSeed = 0 } = {}) {
      const { loss, A, B } = results[seeds.length % results.length]!
      seeds.push(dropoutSeed)
      return {
        loss,
        gradients: new Map<string, F32Tensor>([
          ['A', f32([2], A)],
          ['B', f32([1], B)],
        ]),
      }
    },
  }
}
const numbers = ({ parameters }: RunState): number[] =>
  [...parameters.values()].flatMap(({ data }) => [...data])
const twice = programOf({ loss: 0.25, A: [1, 0], B: [2] }, { loss: 0.5, A: [2, 1], B: [0] })

describe('takeStep', () => {
  it('adds up loss and gradients of all batches before the one update', async () => {
    const state = stateOf()
    const { loss, gradientNorm } = await takeStep(batches, state, twice, rule(), {
      learningRate: 0.5,
      seed: 1,
    })
    expect(loss).toBe(0.75)
    expect(gradientNorm).toBeCloseTo(Math.hypot(3, 1, 2), 6)
    expect(numbers(state)).toEqual([-0.5, 1.5, 2])
    expect(state.step).toBe(7)
  })
  it('clips all gradients together, and reports the norm before', async () => {
    const state = stateOf()
    const program = programOf({ loss: 1, A: [3, 4], B: [12] })
    const { gradientNorm } = await takeStep(batches.slice(1), state, program, rule({ clip: 1.3 }), {
      learningRate: 1,
      seed: 1,
    })
    expect(gradientNorm).toBe(13)
    numbers(state).forEach((value, i) => expect(value).toBeCloseTo([0.7, 1.6, 1.8][i]!, 5))
  })
  it('gives parameters learning rates of their own', async () => {
    const state = stateOf()
    const program = programOf({ loss: 1, A: [1, 1], B: [1] })
    await takeStep(
      batches.slice(1),
      state,
      program,
      rule({ rateOf: (key) => (key === 'B' ? 16 : 1) }),
      { learningRate: 0.1, seed: 1 },
    )
    numbers(state).forEach((value, i) => expect(value).toBeCloseTo([0.9, 1.9, 1.4][i]!, 6))
  })
  it('draws dropout anew for each batch and step, and alike for the same step', async () => {
    const seeds = async (step: number): Promise<number[]> => {
      const program = programOf({ loss: 1, A: [0, 0], B: [0] })
      await takeStep(batches, { ...stateOf(), step }, program, rule(), {
        learningRate: 0.1,
        seed: 1,
      })
      return program.seeds
    }
    expect(new Set([...(await seeds(3)), ...(await seeds(4))]).size).toBe(4)
    expect(await seeds(3)).toEqual(await seeds(3))
  })
  it.each([
    ['the loss', { loss: NaN, A: [1, 1], B: [1] }, 'step 7: the loss is NaN'],
    ['the loss', { loss: Infinity, A: [1, 1], B: [1] }, 'step 7: the loss is Infinity'],
    ['a gradient', { loss: 1, A: [1, 1], B: [NaN] }, "step 7: the gradient's norm is NaN (B)"],
    [
      'a gradient',
      { loss: 1, A: [-Infinity, 1], B: [1] },
      "step 7: the gradient's norm is Infinity (A",
    ],
  ])('changes nothing when %s is not finite', async (_, result, message) => {
    const mean = f32([1])
    const state = stateOf(new Map([['B', { mean, square: f32([1]) }]]))
    const step = takeStep(
      batches,
      state,
      programOf(result),
      rule({ optimizer: adamw as Optimizer }),
      { learningRate: 1, seed: 1 },
    )
    await expect(step).rejects.toThrow(NumericError)
    await expect(step).rejects.toThrow(message)
    expect(numbers(state)).toEqual([1, 2, 3])
    expect([state.step, mean.data[0]]).toEqual([6, 0])
  })
})
