// What every optimiser must hold to.

import { expect, it } from 'vitest'
import { OptionError } from '../../base/errors.ts'
import { sizeOf } from '../../base/tensor.ts'
import type { Optimizer } from './optimizer.ts'

/** Minimises ½‖w − target‖² for some steps; `stateOf` may hand over another state at any step. */
function descend(optimizer: Optimizer, steps: number, target: readonly number[], learningRate: number, pause = 0): Float32Array {
  const settings = optimizer.complete({})
  const shape = [2, target.length / 2]
  const parameter = new Float32Array(target.length)
  const shapes = Object.entries(optimizer.stateShapes(shape, settings))
  let state = Object.fromEntries(shapes.map(([slot, slotShape]) => [slot, new Float32Array(sizeOf(slotShape))]))
  for (let step = 1; step <= steps; step++) {
    if (step === pause) state = structuredClone(state) // saved and loaded: nothing else may be remembered
    const gradient = parameter.map((value, i) => value - target[i]!)
    optimizer.update({ parameter, gradient, shape, state, step, learningRate }, settings)
  }
  return parameter
}

export function optimizerContract(optimizer: Optimizer): void {
  const target = [0.5, -1, 2, 0.25]
  const distance = (values: Float32Array): number => Math.hypot(...values.map((value, i) => value - target[i]!))

  it('comes closer to the minimum', () => {
    expect(distance(descend(optimizer, 300, target, 0.02))).toBeLessThan(0.2 * Math.hypot(...target))
  })
  it('gives the same bits again, also from a state that was saved', () => {
    expect(descend(optimizer, 20, target, 0.02, 11)).toEqual(descend(optimizer, 20, target, 0.02))
  })
  it('changes nothing at learning rate 0', () => {
    expect([...descend(optimizer, 3, target, 0)]).toEqual([0, 0, 0, 0])
  })
  it('refuses unknown options and bad numbers, all at once', () => {
    expect(() => optimizer.complete({ surely: 1, unknown: 2 })).toThrow(OptionError)
    expect(() => optimizer.complete({ surely: 1, unknown: 2 })).toThrow(/"surely".*"unknown"/)
  })
}
