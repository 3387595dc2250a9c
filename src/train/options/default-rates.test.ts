import { describe, expect, it } from 'vitest'
import { adapterKinds } from '../../adapters/kinds/kind-table.ts'
import { optimizerFactors, usualLearningRate, usualRates } from './default-rates.ts'
import { optimizers } from '../optimizers/optimizer-table.ts'

describe('default learning rates', () => {
  it('know every kind and every optimiser', () => {
    expect(Object.keys(usualRates).toSorted()).toEqual([...adapterKinds.keys()].toSorted())
    expect(Object.keys(optimizerFactors).toSorted()).toEqual([...optimizers.keys()].toSorted())
  })
  it('are far larger for kinds with few numbers', () => {
    expect(usualLearningRate('ia3', 'adamw')).toBeGreaterThan(
      10 * usualLearningRate('lora', 'adamw'),
    )
    expect(usualLearningRate('prompt-tuning', 'adamw')).toBeGreaterThan(
      10 * usualLearningRate('ia3', 'adamw'),
    )
    expect(usualLearningRate('lora', 'lion')).toBe(5e-4)
    expect(usualLearningRate('a kind of tomorrow', 'adamw')).toBe(
      usualLearningRate('lora', 'adamw'),
    )
  })
})
