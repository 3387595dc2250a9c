import { describe, expect, it } from 'vitest'
import { OptionError } from '../base/errors.ts'
import { completeSettings, optimizerSettings, type TrainOptions, warmupOf } from './options.ts'

const complete = (options: object, maxPositions = 512) => completeSettings(options as TrainOptions, maxPositions)

describe('completeSettings', () => {
  it('fills in defaults; rows are cut to a line of the batch and the context', () => {
    expect(complete({})).toMatchObject({ epochs: 1, learningRate: 1e-3, schedule: 'cosine', optimizer: 'adamw', maxTokens: 256 })
    expect(complete({ batch: { rows: 1, tokens: 1024 } })).toHaveProperty('maxTokens', 512)
    expect(complete({ epochs: undefined, steps: 3 })).toMatchObject({ epochs: 1, steps: 3 })
  })
  it('lists everything wrong at once', () => {
    const wrong = { epochs: 0, learningRate: -1, clip: NaN, schedule: 'cosin', optimizer: 'adam', maxTokens: 700, warmupShare: 2, seed: 0.5, checkpointing: 0, checkpoint: { everySteps: 0 } } // prettier-ignore
    expect(() => complete(wrong)).toThrow(OptionError)
    for (const part of [
      'epochs must be',
      'learningRate must be above 0, got -1',
      'clip',
      '"cosin"',
      '"adam"',
      'batch.tokens (256)',
      "model's context of 512",
      'warmupShare',
      'seed',
      'checkpointing must be',
      'checkpoint.everySteps',
    ]) {
      expect(() => complete(wrong)).toThrow(part)
    }
  })
  it('passes weight decay on to the optimiser, with its own options', () => {
    const settings = complete({ weightDecay: 0.1, optimizerOptions: { beta2: 0.95 } })
    expect(optimizerSettings(settings)).toEqual({ beta1: 0.9, beta2: 0.95, epsilon: 1e-8, weightDecay: 0.1 })
    expect(() => complete({ optimizerOptions: { momentum: 1 } })).toThrow('"momentum"')
  })
  it('takes the warm-up as steps or as a share', () => {
    expect(warmupOf(complete({ warmupShare: 0.1 }), 25)).toBe(3)
    expect(warmupOf(complete({ warmupSteps: 0 }), 25)).toBe(0)
  })
})
