import { describe, expect, it } from 'vitest'
import { adapterKinds } from '../../adapters/kinds/kind-table.ts'
import { optimizerFactors, getDefaultLearningRate, defaultLearningRates } from './default-rates.ts'
import { optimizers } from '../optimizers/optimizer-table.ts'

describe('default learning rates', () => {
  it('know every kind and every optimiser', () => {
    expect(Object.keys(defaultLearningRates).toSorted()).toEqual(
      [...adapterKinds.keys()].toSorted(),
    )
    expect(Object.keys(optimizerFactors).toSorted()).toEqual([...optimizers.keys()].toSorted())
  })
  it('are far larger for kinds with few numbers', () => {
    expect(getDefaultLearningRate('ia3', 'adamw')).toBeGreaterThan(
      10 * getDefaultLearningRate('lora', 'adamw'),
    )
    expect(getDefaultLearningRate('prompt-tuning', 'adamw')).toBeGreaterThan(
      10 * getDefaultLearningRate('ia3', 'adamw'),
    )
    expect(getDefaultLearningRate('lora', 'lion')).toBe(5e-4)
    expect(getDefaultLearningRate('a kind of tomorrow', 'adamw')).toBe(
      getDefaultLearningRate('lora', 'adamw'),
    )
  })
})
