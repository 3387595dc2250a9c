// The contract of every optimiser.

import { expect, it } from 'vitest'
import { OptionError } from '../../base/errors.ts'
import { sizeOf } from '../../base/tensor.ts'
import type { Optimizer } from './optimizer.ts'

/**
 * Minimises ½‖w − target‖² for some steps at a falling rate; before step `pause` the state goes
 * through a save and a load.
 */
function descend(
  optimizer: Optimizer,
  steps: number,
  target: readonly number[],
  learningRate: number,
  pause = 0,
): Float32Array {
  const settings = optimizer.complete({})
  const shape = [2, target.length / 2]
  const parameter = new Float32Array(target.length)
  const shapes = Object.entries(optimizer.stateShapes(shape, settings))
  let state = Object.fromEntries(
    shapes.map(([slot, slotShape]) => [slot, new Float32Array(sizeOf(slotShape))]),
  )
  for (let step = 1; step <= steps; step++) {
    // saved and loaded, so that other state would be lost
    if (step === pause) state = structuredClone(state)
    const gradient = parameter.map((value, i) => value - target[i]!)
    optimizer.update(
      {
        parameter,
        gradient,
        shape,
        state,
        step,
        learningRate: learningRate * (1 - step / (steps + 1)),
      },
      settings,
    )
  }
  return parameter
}

export function optimizerContract(optimizer: Optimizer): void {
  const target = [0.5, -1, 2, 0.25]
  const distance = (values: Float32Array): number =>
    Math.hypot(...values.map((value, i) => value - target[i]!))

  it('comes closer to the minimum', () => {
    expect(distance(descend(optimizer, 300, target, 0.02))).toBeLessThan(
      0.2 * Math.hypot(...target),
    )
  })
  it('gives the same bits again, also from a state that was saved', () => {
    expect(descend(optimizer, 20, target, 0.02, 11)).toEqual(descend(optimizer, 20, target, 0.02))
  })
  it('changes nothing at learning rate 0', () => {
    expect([...descend(optimizer, 3, target, 0)]).toEqual([0, 0, 0, 0])
  })
  it('stays finite where gradients are zero, tiny or huge', () => {
    const settings = optimizer.complete({})
    const shape = [2, 2]
    const slots = Object.entries(optimizer.stateShapes(shape, settings))
    const state = Object.fromEntries(
      slots.map(([slot, slotShape]) => [slot, new Float32Array(sizeOf(slotShape))]),
    )
    const parameter = Float32Array.of(1, 2, 3, 4)
    for (const [i, size] of [0, 1e-25, 1e12, 0].entries())
      optimizer.update(
        {
          parameter,
          gradient: new Float32Array(4).fill(size),
          shape,
          state,
          step: i + 1,
          learningRate: 0.1,
        },
        settings,
      )
    expect(parameter.every(Number.isFinite)).toBe(true)
  })
  it('takes weights down by weight decay alone where there is no gradient', () => {
    const settings = optimizer.complete({ weightDecay: 0.5 })
    const slots = Object.entries(optimizer.stateShapes([2], settings))
    const state = Object.fromEntries(
      slots.map(([slot, shape]) => [slot, new Float32Array(sizeOf(shape))]),
    )
    const parameter = Float32Array.of(1, -2)
    optimizer.update(
      { parameter, gradient: new Float32Array(2), shape: [2], state, step: 1, learningRate: 0.1 },
      settings,
    )
    expect([...parameter].map((value) => value.toFixed(6))).toEqual(['0.950000', '-1.900000'])
  })
  it('names its options with sentences, and its defaults are allowed', () => {
    expect(Object.keys(optimizer.options)).toContain('weightDecay')
    const defaults = Object.fromEntries(
      Object.entries(optimizer.options).map(([name, spec]) => [name, spec.default]),
    )
    expect(optimizer.complete({})).toEqual(defaults)
    expect(optimizer.complete(defaults)).toEqual(defaults)
    for (const { about } of [optimizer, ...Object.values(optimizer.options)])
      expect(about?.length ?? 0).toBeGreaterThan(10)
  })
  it('refuses unknown options and bad numbers, all at once', () => {
    const wrong = { surely: 1, unknown: 2, weightDecay: -1 }
    expect(() => optimizer.complete(wrong)).toThrow(OptionError)
    expect(() => optimizer.complete(wrong)).toThrow(
      /"surely".*"unknown".*weightDecay: got -1, expected a number ≥ 0/,
    )
  })
}
