import { describe, expect, it } from 'vitest'
import { OptionError } from '../../base/errors.ts'
import { adamw } from './adamw.ts'
import { optimizerContract } from './optimizer.contract.ts'
import { optimizerNamed, optimizers } from './optimizers.ts'

describe.each([...optimizers.values()].map((optimizer) => [optimizer.name, optimizer] as const))('%s', (_, optimizer) => {
  optimizerContract(optimizer)
})

describe('the table', () => {
  it('names what there is', () => {
    expect(optimizerNamed('adamw')).toBe(adamw)
    expect(() => optimizerNamed('adam')).toThrow(OptionError)
    expect(() => optimizerNamed('adam')).toThrow('There are: adamw')
  })
})

describe('AdamW', () => {
  it('steps as torch 2 does (lr 0.05, betas 0.9 and 0.99, eps 1e-6, weight decay 0.1)', () => {
    const gradients = [
      [0.1, -0.2, 0.3, 1e-4, -5],
      [0, 0.4, -0.3, 1e-4, 2],
      [-0.7, 0.1, 0.2, 0, 1],
      [0.25, 0.25, 0.25, 0.25, 0.25],
    ]
    const torch = [
      [0.9450004696846008, -1.940000295639038, 0.44750016927719116, -0.049504950642585754, 3.283750057220459],
      [0.9066969752311707, -1.9485807418823242, 0.44789424538612366, -0.0987623780965805, 3.284640073776245],
      [0.9300040006637573, -1.9596340656280518, 0.43385452032089233, -0.13653679192066193, 3.2755393981933594],
      [0.9372264742851257, -1.9787236452102661, 0.4094637334346771, -0.1647324115037918, 3.2638325691223145],
    ]
    const parameter = Float32Array.of(1, -2, 0.5, 0, 3.25)
    const state = { mean: new Float32Array(5), square: new Float32Array(5) }
    const settings = adamw.complete({ beta2: 0.99, epsilon: 1e-6, weightDecay: 0.1 })
    gradients.forEach((gradient, i) => {
      adamw.update({ parameter, gradient: Float32Array.from(gradient), shape: [5], state, step: i + 1, learningRate: 0.05 }, settings)
      parameter.forEach((value, j) => expect(value).toBeCloseTo(torch[i]![j]!, 6))
    })
  })
  it("has torch's defaults, but no weight decay unless asked", () => {
    expect(adamw.complete({})).toEqual({ beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weightDecay: 0 })
    expect(() => adamw.complete({ beta1: 1, epsilon: '1' })).toThrow(/beta1 must be.*got 1; epsilon must be/)
  })
})
