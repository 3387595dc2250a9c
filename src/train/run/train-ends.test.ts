// How runs end before their last step: early stopping, divergence, NaN; and the files that remain.

import { beforeAll, describe, expect, it } from 'vitest'
import { memoryFolder, quadraticProgram, storiesModel } from '../../../test/support/train.ts'
import {
  checkpointIn,
  countingOptions,
  endOf,
  heldRows,
  only,
  runWith,
  weightsOf,
} from '../../../test/support/train-runs.ts'
import { loadAdapter } from '../../adapters/files/peft.ts'
import { DataError, MismatchError, NumericError, OptionError } from '../../base/errors.ts'
import type { ByteFolder } from '../../formats/byte-source.ts'
import { findCheckpoint } from './checkpoint.ts'
import { createRawDataset } from '../data/jsonl.ts'
import type { GradientProgram } from '../programs/gradient-program.ts'
import { optimizers } from '../optimizers/optimizer-table.ts'
import type { TrainOptions } from '../options/options.ts'
import type { TrainableModel } from '../programs/trainable-model.ts'
import { prepareRun } from './prepare.ts'

let model: TrainableModel
beforeAll(async () => {
  model = await storiesModel()
})
const optionsOf = (changed: Partial<TrainOptions> = {}): TrainOptions =>
  countingOptions(model, changed)
const patient = (changed: Partial<TrainOptions> = {}): TrainOptions =>
  optionsOf({
    validation: { data: heldRows, everySteps: 1 },
    patience: 2,
    minimumDelta: 0.1,
    ...changed,
  })

/**
 * A program whose validation losses and training losses are told; a training loss may depend on the
 * step alone.
 */
function scripted(
  validations: readonly number[],
  lossAt: (step: number) => number | undefined = () => undefined,
): GradientProgram {
  const program = quadraticProgram()
  let validation = 0
  let call = 0
  return {
    ...program,
    gradients: async (...given) => {
      const { loss, gradients } = await program.gradients(...given)
      return { loss: lossAt(++call) ?? loss, gradients }
    },
    loss: async () => validations[validation++] ?? 99,
  }
}
const saved = (folder: ByteFolder, name: string) =>
  loadAdapter({ name, open: (path) => folder.open(`${name}/${path}`) })

describe('early stopping', () => {
  it('ends the run when validations are no longer better by enough, and keeps the best adapter', async () => {
    const folder = memoryFolder()
    const events = await runWith(
      patient({ checkpoint: checkpointIn(folder) }),
      scripted([5, 4, 3.95, 3.92, 1]),
    )
    expect(only(events, 'validation-end').map(({ step }) => step)).toEqual([1, 2, 3, 4])
    const { reason, best, last } = endOf(events)
    // the lowest, though not by enough
    expect([reason, best.step, best.loss, last.step]).toEqual(['early-stopped', 4, 3.92, 4])
    expect((await saved(folder, 'best')).tensors).toEqual(best.adapter.tensors)
    expect((await findCheckpoint(folder)).checkpoint!.state.step).toBe(4)
  })
  it('stops at the same step, with the same bits, wherever the run was stopped and went on', async () => {
    const losses = [5, 4, 3.95, 3.2, 3.15, 3.14, 1]
    const whole = await runWith(
      patient({ checkpoint: checkpointIn(memoryFolder(), 1) }),
      scripted(losses),
    )
    expect(endOf(whole)).toMatchObject({ reason: 'early-stopped', last: { step: 6 } })
    for (let stop = 1; stop < 6; stop++) {
      const folder = memoryFolder()
      const controller = new AbortController()
      const options = { checkpoint: checkpointIn(folder, 1) }
      await runWith(
        patient({ ...options, signal: controller.signal }),
        scripted(losses),
        (event) => {
          if (event.type === 'step-end' && event.step === stop) controller.abort()
        },
      )
      const resumed = await runWith(patient(options), scripted(losses.slice(stop)))
      expect(endOf(resumed)).toEqual(endOf(whole))
      const again = await runWith(patient(options), scripted([]))
      expect(again.map(({ type }) => type)).toEqual(['data-ready', 'train-end'])
      expect(endOf(again)).toEqual(endOf(whole))
    }
  })
  it('is called finished where patience runs out at the last step', async () => {
    const events = await runWith(patient({ steps: 3 }), scripted([5, 6, 7]))
    expect(endOf(events)).toMatchObject({ reason: 'finished', best: { step: 1 } })
  })
  it('is refused before training where it could never happen', async () => {
    await expect(
      prepareRun(patient({ patience: 3, validation: { data: heldRows } })),
    ).rejects.toThrow(OptionError)
    await expect(
      prepareRun(patient({ patience: 3, validation: { data: heldRows } })),
    ).rejects.toThrow('the run has 3 validations')
    const { validation: _validation, ...without } = patient()
    await expect(prepareRun(without)).rejects.toThrow('patience needs validation data')
  })
})

describe('a divergent run', () => {
  it('stops, names the step, and leaves the checkpoint and the adapter of before', async () => {
    const folder = memoryFolder()
    const attempt = runWith(
      optionsOf({ accumulation: 1, steps: 12, checkpoint: checkpointIn(folder, 1) }),
      scripted([3, 2, 1], (step) => (step > 8 ? 1e4 * step : 1)),
    )
    await expect(attempt).rejects.toThrow(NumericError)
    await expect(attempt).rejects.toThrow(
      'Training stopped at step 11: the loss is 1.100e+5 and stays above 10.00, 10 times its start',
    )
    await expect(attempt).rejects.toThrow(
      'The last good state is that of step 7: its checkpoint, and its adapter in memory/last',
    )
    const { checkpoint, refused } = await findCheckpoint(folder)
    expect([checkpoint!.state.step, refused]).toEqual([7, []])
    expect((await saved(folder, 'last')).tensors).toEqual(checkpoint!.state.parameters)
    // of step 9, which the told losses call best
    expect((await saved(folder, 'best')).tensors).not.toEqual(checkpoint!.state.parameters)
  })
  it('continues to its end where the guard is off', async () => {
    const options = optionsOf({ accumulation: 1, steps: 12, divergenceFactor: 0 })
    const events = await runWith(
      options,
      scripted([3, 2, 1], (step) => (step > 8 ? 1e4 * step : 1)),
    )
    expect(endOf(events)).toMatchObject({ reason: 'finished', last: { step: 12 } })
  })
  it('stops where the validation loss is not a number, and keeps what was saved before', async () => {
    const folder = memoryFolder()
    const attempt = runWith(optionsOf({ checkpoint: checkpointIn(folder) }), scripted([3, NaN]))
    await expect(attempt).rejects.toThrow(
      'Training stopped after step 6: the validation loss is NaN',
    )
    await expect(attempt).rejects.toThrow('the best one, of step 3, in memory/best')
    expect((await findCheckpoint(folder)).checkpoint!.state.step).toBe(4)
  })
})

describe('every optimiser', () => {
  it.each([...optimizers.keys()])(
    '%s resumes with the same bits from a checkpoint, and only with the same settings',
    async (optimizer) => {
      const changed = {
        optimizer,
        learningRate: optimizer === 'lion' ? 0.005 : 0.05,
        schedule: 'cosine-restarts',
        scheduleOptions: { cycles: 2 },
      }
      const whole = await runWith(optionsOf(changed))
      const folder = memoryFolder()
      const controller = new AbortController()
      await runWith(
        optionsOf({ ...changed, checkpoint: checkpointIn(folder), signal: controller.signal }),
        quadraticProgram(),
        (event) => {
          if (event.type === 'step-end' && event.step === 5) controller.abort()
        },
      )
      expect(
        weightsOf(await runWith(optionsOf({ ...changed, checkpoint: checkpointIn(folder) }))),
      ).toEqual(weightsOf(whole))
      const other = optionsOf({
        ...changed,
        optimizerOptions: { weightDecay: 0.5 },
        scheduleOptions: {},
        checkpoint: checkpointIn(folder),
      })
      await expect(runWith(other)).rejects.toThrow(MismatchError)
      await expect(runWith(other)).rejects.toThrow(
        /optimizerOptions: got .*"weightDecay":0.5.*\n.*scheduleOptions: got {"cycles":3/,
      )
    },
  )
})

describe('rows of text', () => {
  it('are refused where the tokenizer has tokens that the model has no row for', async () => {
    const tokenizer = {
      ...model.base.tokenizer!,
      encode: (text: string) => [1, text === 'strange' ? 700 : 5],
    }
    const strange = { ...model, base: { ...model.base, tokenizer } }
    const data = createRawDataset([{ text: 'usual' }, { text: 'strange' }], 'rows.jsonl')
    await expect(prepareRun(optionsOf({ model: strange, data }))).rejects.toThrow(
      /^rows\.jsonl: contains rows that this model cannot learn from:\n.*row 2: token 700 is outside the vocabulary of 512$/,
    )
  })
})

describe('encoded rows', () => {
  it('are refused for unknown tokens and invalid weights, all at once', async () => {
    const row = (id: number, weight: number) => ({
      ids: Int32Array.of(1, id),
      weights: Float32Array.of(0, weight),
    })
    const rows = [
      row(511, 1),
      row(512, 1),
      row(5, NaN),
      { ids: Int32Array.of(1, 2), weights: Float32Array.of(0) },
    ]
    const data = { name: 'rows', format: 'text', rows, examples: 4, cut: 0, dropped: 0 }
    await expect(prepareRun(optionsOf({ data }))).rejects.toThrow(DataError)
    await expect(prepareRun(optionsOf({ data }))).rejects.toThrow(
      /row 2: token 512 is outside the vocabulary of 512\n.*row 3: a weight is NaN.*\n.*row 4: has 2 tokens and 1 weights/,
    )
  })
})
