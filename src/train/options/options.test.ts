import { describe, expect, it } from 'vitest'
import { OptionError } from '../../base/errors.ts'
import { getDefaultLearningRate } from './default-rates.ts'
import type { TrainOptions } from './options.ts'
import { resolveRecipe } from './recipe.ts'
import { computeWarmupSteps } from './settings.ts'

const resolve = (options: object, maxPositions = 512) => {
  const base = { graph: { config: { maxPositions } } }
  const model = { base, weights: () => undefined }
  const adapter = { kind: 'lora', config: {} }
  return resolveRecipe({ model, data: [], adapter, ...options } as unknown as TrainOptions)
}
const complete = (options: object, maxPositions?: number) => resolve(options, maxPositions).settings

describe('resolveRecipe', () => {
  it('fills in defaults; rows are cut to a line of the batch and the context', () => {
    expect(complete({})).toMatchObject({
      epochs: 1,
      schedule: 'cosine',
      optimizer: 'adamw',
      warmupShare: 0.05,
      maxTokens: 256,
    })
    expect(complete({ batch: { rows: 1, tokens: 1024 } })).toHaveProperty('maxTokens', 512)
    expect(complete({ epochs: undefined, steps: 3 })).toMatchObject({ epochs: 1, steps: 3 })
  })
  it('lists everything wrong at once', () => {
    const wrong = {
      epochs: 0,
      learningRate: -1,
      clip: NaN,
      schedule: 'cosin',
      optimizer: 'adam',
      patience: 1,
      packing: 'no',
      maxTokens: 700,
      warmupShare: 2,
      seed: 0.5,
      checkpointing: 0,
      checkpoint: { everySteps: 0 },
    }
    expect(() => complete(wrong)).toThrow(OptionError)
    for (const part of [
      'epochs: got',
      'learningRate: got -1, expected a number above 0',
      'clip: got NaN, expected a number ≥ 0',
      'packing: got "no", expected true or false',
      'patience needs validation data',
      '"cosin"',
      '"adam"',
      'batch.tokens (256)',
      "model's context of 512",
      'warmupShare',
      'seed',
      'checkpointing: got',
      'checkpoint.everySteps',
    ]) {
      expect(() => complete(wrong)).toThrow(part)
    }
  })
  it('passes weight decay on to the optimiser, with its own options', () => {
    const recipe = resolve({ weightDecay: 0.1, optimizerOptions: { beta2: 0.95 } })
    expect(recipe.optimizerSettings).toEqual({
      beta1: 0.9,
      beta2: 0.95,
      epsilon: 1e-8,
      weightDecay: 0.1,
    })
    expect(() => complete({ optimizerOptions: { momentum: 1 } })).toThrow('"momentum"')
  })
  it('takes the learning rate that works for the kind and the optimiser where none is given', () => {
    expect(complete({})).toHaveProperty('learningRate', getDefaultLearningRate('lora', 'adamw'))
    expect(complete({ optimizer: 'lion', adapter: { kind: 'ia3' } })).toHaveProperty(
      'learningRate',
      getDefaultLearningRate('ia3', 'lion'),
    )
    expect(complete({ learningRate: 0.5 })).toHaveProperty('learningRate', 0.5)
  })
  it("checks the schedule's own options, and takes its own rise", () => {
    const { schedule, scheduleSettings } = resolve({
      schedule: 'cosine-restarts',
      scheduleOptions: { cycles: 2 },
    })
    expect([schedule.name, scheduleSettings]).toEqual([
      'cosine-restarts',
      { cycles: 2, minimum: 0 },
    ])
    expect(() =>
      complete({ schedule: 'cosine-restarts', scheduleOptions: { cycles: 0, gamma: 1 } }),
    ).toThrow(/"gamma".*cycles: got/)
    expect(complete({ schedule: 'one-cycle' })).toHaveProperty('warmupShare', 0.3)
    expect(complete({ schedule: 'one-cycle', warmupShare: 0.1 })).toHaveProperty('warmupShare', 0.1)
  })
  it('takes the warm-up as steps or as a share', () => {
    expect(computeWarmupSteps(complete({ warmupShare: 0.1 }), 25)).toBe(3)
    expect(computeWarmupSteps(complete({ warmupSteps: 0 }), 25)).toBe(0)
  })
  it('names every option that is unknown, with the one that was meant', () => {
    const wrong = {
      epoch: 3,
      lr: 1,
      batch: { row: 2 },
      checkpoint: { evrySteps: 2 },
      validation: { dat: [], everySteps: 2 },
      ewc: { lamda: 1 },
      teacher: { adaptor: 1 },
      adapter: { kind: 'lora', confg: {} },
    }
    for (const part of [
      'there is no option "epoch". Did you mean "epochs"?',
      'there is no option "lr". Did you mean "learningRate"?',
      'there is no option "batch.row". Did you mean "batch.rows"?',
      'there is no option "checkpoint.evrySteps". Did you mean "checkpoint.everySteps"?',
      'there is no option "validation.dat". Did you mean "validation.data"?',
      'there is no option "ewc.lamda". Did you mean "ewc.lambda"?',
      'there is no option "teacher.adaptor". Did you mean "teacher.adapter"?',
      'there is no option "adapter.confg". Did you mean "adapter.config"?',
    ])
      expect(() => complete(wrong)).toThrow(part)
    expect(() => complete({ optimizerOptions: { beta: 1 } })).toThrow('"beta1"')
  })
  it('names the options of a loss, an optimiser and a schedule that are unknown', () => {
    expect(() => complete({ optimizerOptions: { beta_2: 0.9 } })).toThrow('beta2')
    expect(() => complete({ scheduleOptions: { mininum: 0.1 } })).toThrow('minimum')
    expect(() =>
      complete({ loss: 'distillation', lossOptions: { temprature: 2 }, teacher: {} }),
    ).toThrow('temperature')
  })
  it('reports what is missing and what was given in place of a value', () => {
    expect(() => resolveRecipe({} as TrainOptions)).toThrow(
      /model: got nothing, expected a model.*data: got nothing/,
    )
    expect(() => resolveRecipe(undefined as unknown as TrainOptions)).toThrow(OptionError)
    expect(() => complete({ data: 'rows.jsonl' })).toThrow('data: got the string "rows.jsonl"')
    expect(() => complete({ data: { level: 'embedding' } })).toThrow('trainStandalone')
    expect(() => complete({ adapter: 'lora' })).toThrow('adapter: got the string "lora"')
    expect(() => complete({ checkpoint: { everySteps: 2 } })).toThrow('checkpoint.sink')
    expect(() => complete({ signal: 1, now: 2, date: 'today', reference: {} })).toThrow(
      /reference:.*signal:.*now:.*date:/,
    )
  })
})
