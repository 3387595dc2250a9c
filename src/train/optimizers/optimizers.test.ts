import { readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { OptionError } from '../../base/errors.ts'
import { sizeOf } from '../../base/tensor.ts'
import { adafactor } from './adafactor.ts'
import { adamw } from './adamw.ts'
import { optimizerContract } from './optimizer.contract.ts'
import { getOptimizer, optimizers } from './optimizer-table.ts'
import { sgd } from './sgd.ts'

interface Golden {
  readonly parameters: readonly { shape: number[]; start: number[]; gradients: number[][] }[]
  readonly cases: readonly {
    optimizer: string
    options: Record<string, unknown>
    learningRate: number
    after: number[][][]
  }[]
}
const golden = JSON.parse(
  readFileSync(new URL('../../../test/golden/optimizers/fixtures.json', import.meta.url), 'utf8'),
) as Golden

describe.each([...optimizers.values()].map((optimizer) => [optimizer.name, optimizer] as const))(
  '%s',
  (name, optimizer) => {
    optimizerContract(optimizer)

    const cases = golden.cases
      .filter((row) => row.optimizer === name)
      .map((row) => [JSON.stringify(row.options), row] as const)
    it('has reference steps', () => {
      expect(cases.length).toBeGreaterThan(1)
    })
    it.each(cases)('steps as the reference does with %s', (_, { options, learningRate, after }) => {
      const settings = optimizer.complete(options)
      golden.parameters.forEach(({ shape, start, gradients }, p) => {
        const parameter = Float32Array.from(start)
        const slots = Object.entries(optimizer.stateShapes(shape, settings))
        const state = Object.fromEntries(
          slots.map(([slot, slotShape]) => [slot, new Float32Array(sizeOf(slotShape))]),
        )
        gradients.forEach((gradient, i) => {
          optimizer.update(
            {
              parameter,
              gradient: Float32Array.from(gradient),
              shape,
              state,
              step: i + 1,
              learningRate,
            },
            settings,
          )
          const expected = after[p]![i]!
          // The parameters are single-precision numbers about 1, so 1e-6 of that is a few of their
          // last bits.
          parameter.forEach((value, j) =>
            expect(Math.abs(value - expected[j]!)).toBeLessThan(
              1e-6 * Math.max(1, Math.abs(expected[j]!)),
            ),
          )
        })
      })
    })
  },
)

describe('the table', () => {
  it('names what there is', () => {
    expect(getOptimizer('adamw')).toBe(adamw)
    expect(() => getOptimizer('adam')).toThrow(OptionError)
    expect(() => getOptimizer('adam')).toThrow('There are: adamw, sgd, lion, adafactor')
  })
})

describe('AdamW', () => {
  it("has torch's defaults, but no weight decay unless asked", () => {
    expect(adamw.complete({})).toEqual({ beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weightDecay: 0 })
    expect(() => adamw.complete({ beta1: 1, epsilon: '1' })).toThrow(
      /beta1: got 1, expected .*; epsilon: got "1", expected/,
    )
  })
})

describe('SGD', () => {
  it('remembers nothing without momentum, and refuses to look ahead of none', () => {
    expect(sgd.stateShapes([2, 3], sgd.complete({ momentum: 0 }))).toEqual({})
    expect(() => sgd.complete({ momentum: 0, nesterov: true })).toThrow(
      'nesterov needs a momentum above 0',
    )
  })
})

describe('Adafactor', () => {
  it('remembers a row and a column of a matrix: 592 numbers of 9,216', () => {
    const shapes = adafactor.stateShapes([16, 576], adafactor.complete({}))
    expect(shapes).toEqual({ row: [16], column: [576] })
    expect(adafactor.stateShapes([576], adafactor.complete({}))).toEqual({ square: [576] })
    expect(adafactor.stateShapes([2, 4, 3], adafactor.complete({ beta1: 0.9 }))).toEqual({
      row: [2, 4],
      column: [2, 3],
      mean: [2, 4, 3],
    })
  })
})
