// A run's course, on a program without a model: events, checkpoints, exact resume, stopping. The
// real program is in train-stories.test.ts.

import { beforeAll, describe, expect, it } from 'vitest'
import { loadAdapter } from '../../adapters/files/peft.ts'
import {
  DataError,
  FormatError,
  MismatchError,
  NumericError,
  OptionError,
  StorageError,
} from '../../base/errors.ts'
import type { ByteFolder, ByteSink } from '../../formats/byte-source.ts'
import { checkpointFiles, findCheckpoint, writeCheckpoint } from './checkpoint.ts'
import { createRawDataset } from '../data/jsonl.ts'
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
import type { GradientProgram } from '../programs/gradient-program.ts'
import type { TrainOptions } from '../options/options.ts'
import type { TrainableModel } from '../programs/trainable-model.ts'
import { prepareRun } from './prepare.ts'
import { runSteps } from './train.ts'

let model: TrainableModel
beforeAll(async () => {
  model = await storiesModel()
})

const optionsOf = (changed: Partial<TrainOptions> = {}): TrainOptions =>
  countingOptions(model, changed)

describe('a run', () => {
  it('tells what it does, in order, and lowers the loss', async () => {
    const events = await runWith(optionsOf())
    const [ready] = only(events, 'data-ready')
    expect(ready).toMatchObject({
      data: { examples: 30, rows: 30, cut: 0, dropped: 0 },
      resumedAt: 0,
      refusedCheckpoints: [],
    })
    expect(ready!.fill).toBeGreaterThan(0.7)
    const steps = only(events, 'step-end')
    expect(steps.map(({ step }) => step)).toEqual(
      Array.from({ length: ready!.steps }, (_, i) => i + 1),
    )
    expect(steps.at(-1)).toMatchObject({ epoch: 3, steps: ready!.steps, secondsLeft: 0 })
    expect(steps.at(-1)!.loss).toBeLessThan(steps[0]!.loss * 0.8)
    const validated = only(events, 'validation-end').map(({ step }) => step)
    expect(validated).toEqual([3, 6, 9])
    expect(events.at(-1)).toMatchObject({ type: 'train-end', reason: 'finished' })
    expect(endOf(events).history.steps).toHaveLength(ready!.steps)
  })
  it('measures speed and time left by the clock it is given', async () => {
    let time = 0
    const events = await runWith(optionsOf({ now: () => (time += 500) }))
    for (const { tokensPerSecond, secondsLeft, step, steps } of only(events, 'step-end')) {
      expect(tokensPerSecond).toBeGreaterThan(0)
      expect(secondsLeft > 0).toBe(step < steps)
    }
  })
  it('gives the same numbers again, and others for another seed', async () => {
    const first = await runWith(optionsOf())
    const again = await runWith(optionsOf())
    const other = await runWith(optionsOf({ seed: 8 }))
    expect(weightsOf(again)).toEqual(weightsOf(first))
    expect(weightsOf(other)).not.toEqual(weightsOf(first))
  })
  it('keeps the adapter with the lowest validation loss as the best', async () => {
    const losses = [5, 1, 4, 3, 2, 6, 7, 8]
    let validation = 0
    const options = optionsOf({ validation: { data: heldRows, everySteps: 1 }, steps: 5 })
    const events = await runWith(options, {
      ...quadraticProgram(),
      loss: async () => losses[validation++]!,
    })
    const { best, last, adapter } = endOf(events)
    expect(
      only(events, 'validation-end')
        .map(({ isBest }) => isBest)
        .slice(0, 3),
    ).toEqual([true, true, false])
    expect(best).toMatchObject({ step: 2, loss: 1 })
    expect(adapter).toBe(best.adapter)
    expect(best.adapter.tensors).not.toEqual(last.adapter.tensors)
  })
  it('takes the last adapter as the best where nothing is validated, and does not change the one it began with', async () => {
    const first = await runWith(optionsOf())
    const adapter = endOf(first).adapter
    const before = structuredClone(adapter.tensors)
    const { validation: _validation, ...options } = optionsOf({ adapter })
    const { best, last } = endOf(await runWith(options))
    expect(best).toEqual(last)
    expect(adapter.tensors).toEqual(before)
    expect(best.adapter.tensors).not.toEqual(before)
  })
})

describe('a run with checkpoints', () => {
  it('ends with the same bits wherever it was stopped and went on', async () => {
    const whole = await runWith(optionsOf({ checkpoint: checkpointIn(memoryFolder()) }))
    const { steps } = only(whole, 'data-ready')[0]!
    for (let stop = 1; stop < steps; stop++) {
      const folder = memoryFolder()
      const controller = new AbortController()
      const stopped = await runWith(
        optionsOf({ checkpoint: checkpointIn(folder), signal: controller.signal }),
        quadraticProgram(),
        (event) => {
          if (event.type === 'step-end' && event.step === stop) controller.abort()
        },
      )
      expect(endOf(stopped)).toMatchObject({ reason: 'stopped', last: { step: stop } })
      const resumed = await runWith(optionsOf({ checkpoint: checkpointIn(folder) }))
      expect(only(resumed, 'data-ready')[0]).toMatchObject({ resumedAt: stop })
      expect(weightsOf(resumed)).toEqual(weightsOf(whole))
      expect(endOf(resumed)).toEqual(endOf(whole))
    }
  })
  it('resumes with the date of its checkpoint, so that dated data stay the same overnight', async () => {
    const chatTemplate = `{{ strftime_now('%d') }}{% for m in messages %}{{ m.content }} {% endfor %}`
    const dated = { ...model, base: Object.assign(Object.create(model.base), { chatTemplate }) }
    const content = { role: 'assistant', content: 'Hello.' }
    const data = createRawDataset(
      [
        { messages: [{ role: 'user', content: 'Hi' }, content] },
        { messages: [{ role: 'user', content: 'Once' }, content] },
      ],
      'rows',
    )
    const runOn = (folder: ByteFolder & ByteSink, day: number) =>
      prepareRun(
        countingOptions(dated, {
          data,
          checkpoint: checkpointIn(folder),
          date: new Date(2026, 10, day, 12),
        }),
      )
    const folder = memoryFolder()
    const first = await runOn(folder, 29)
    expect(first.adapter.metadata).toMatchObject({ graft_date: '2026-11-29' })
    const { fingerprint, state } = first
    await writeCheckpoint({ fingerprint, state: Object.assign({}, state, { step: 1 }) }, folder, 0)
    const resumed = await runOn(folder, 30)
    expect(resumed.ready.resumedAt).toBe(1)
    expect(resumed.ready.checkpointDate).toEqual(new Date(2026, 10, 29, 12))
    expect(first.ready).not.toHaveProperty('checkpointDate')
    expect((await runOn(folder, 29)).ready).not.toHaveProperty('checkpointDate')
    expect(resumed.rows.encoded.rows).toEqual(first.rows.encoded.rows)
    expect((await runOn(memoryFolder(), 30)).rows.encoded.rows).not.toEqual(first.rows.encoded.rows)
  })
  it('loses only the steps since the last checkpoint when it is killed', async () => {
    const whole = await runWith(optionsOf({ checkpoint: checkpointIn(memoryFolder()) }))
    const folder = memoryFolder()
    const prepared = await prepareRun(optionsOf({ checkpoint: checkpointIn(folder, 3) }))
    for await (const event of runSteps(
      prepared,
      quadraticProgram(),
      optionsOf({ checkpoint: checkpointIn(folder, 3) }),
    )) {
      if (event.type === 'step-end' && event.step === 5) break
    }
    const resumed = await runWith(optionsOf({ checkpoint: checkpointIn(folder, 3) }))
    expect(only(resumed, 'data-ready')[0]).toMatchObject({ resumedAt: 3 })
    expect(endOf(resumed)).toEqual(endOf(whole))
  })
  it('has nothing left to do once it is finished', async () => {
    const folder = memoryFolder()
    const whole = await runWith(optionsOf({ checkpoint: checkpointIn(folder) }))
    const again = await runWith(optionsOf({ checkpoint: checkpointIn(folder) }))
    expect(again.map(({ type }) => type)).toEqual(['data-ready', 'train-end'])
    expect(endOf(again)).toEqual(endOf(whole))
  })
  it('saves the best and the last adapter as PEFT folders', async () => {
    const folder = memoryFolder()
    const { best, last } = endOf(await runWith(optionsOf({ checkpoint: checkpointIn(folder) })))
    for (const [name, { adapter }] of Object.entries({ best, last })) {
      const saved = await loadAdapter({ name, open: (path) => folder.open(`${name}/${path}`) })
      expect(saved.tensors).toEqual(adapter.tensors)
      expect(saved.baseModel).toBe('stories260k')
    }
  })
  it('starts anew where no source is given', async () => {
    const folder = memoryFolder()
    await runWith(optionsOf({ checkpoint: checkpointIn(folder), epochs: 1 }))
    const events = await runWith(optionsOf({ checkpoint: { sink: folder } }))
    expect(only(events, 'data-ready')[0]).toMatchObject({ resumedAt: 0 })
  })
  it('continues from the older checkpoint where the newer is torn', async () => {
    const whole = await runWith(optionsOf({ checkpoint: checkpointIn(memoryFolder()) }))
    const folder = memoryFolder()
    const controller = new AbortController()
    await runWith(
      optionsOf({ checkpoint: checkpointIn(folder), signal: controller.signal }),
      quadraticProgram(),
      (event) => {
        if (event.type === 'step-end' && event.step === 4) controller.abort()
      },
    )
    const newest = checkpointFiles.find(
      (path) =>
        folder.files.get(path)!.length ===
        Math.max(...checkpointFiles.map((name) => folder.files.get(name)!.length)),
    )!
    folder.files.set(newest, folder.files.get(newest)!.slice(0, -7))
    const resumed = await runWith(optionsOf({ checkpoint: checkpointIn(folder) }))
    expect(only(resumed, 'data-ready')[0]).toMatchObject({
      resumedAt: 2,
      refusedCheckpoints: [expect.stringContaining(newest)],
    })
    expect(endOf(resumed)).toEqual(endOf(whole))
  })
  it('refuses to go on as another run, naming all that differs', async () => {
    const folder = memoryFolder()
    await runWith(optionsOf({ checkpoint: checkpointIn(folder), epochs: 1 }))
    const rows = createRawDataset([{ prompt: 'Count:', completion: ' two' }], 'other')
    const changed = optionsOf({
      checkpoint: checkpointIn(folder),
      learningRate: 0.01,
      data: rows,
      adapter: { kind: 'lora', config: { rank: 4 } },
      model: { ...model, base: { ...model.base, ropeScaling: { type: 'yarn', factor: 4 } } },
    })
    await expect(runWith(changed)).rejects.toThrow(MismatchError)
    for (const name of ['learningRate', 'data', 'adapter', 'epochs', 'ropeScaling'])
      await expect(runWith(changed)).rejects.toThrow(`  ${name}: got `)
  })
  it('keeps the good checkpoint when the disk is full', async () => {
    const folder = memoryFolder()
    let writes = 0
    const full: ByteSink & ByteFolder = {
      ...folder,
      write: (path, chunks) =>
        path.startsWith('checkpoint') && ++writes > 2
          ? Promise.reject(new StorageError('disk full'))
          : folder.write(path, chunks),
    }
    await expect(runWith(optionsOf({ checkpoint: checkpointIn(full) }))).rejects.toThrow(
      'disk full',
    )
    expect((await findCheckpoint(folder)).checkpoint!.state.step).toBe(4)
  })
})

describe('a run that goes wrong', () => {
  it('stops at the step where the loss turns NaN, and keeps the last checkpoint', async () => {
    const folder = memoryFolder()
    const good = quadraticProgram()
    let calls = 0
    const failing: GradientProgram = {
      ...good,
      gradients: async (...given) => ({
        ...(await good.gradients(...given)),
        ...(++calls > 9 ? { loss: NaN } : {}),
      }),
    }
    const attempt = runWith(
      optionsOf({ checkpoint: checkpointIn(folder), accumulation: 1 }),
      failing,
    )
    await expect(attempt).rejects.toThrow(NumericError)
    await expect(attempt).rejects.toThrow('Training stopped at step 10: the loss is NaN')
    expect((await findCheckpoint(folder)).checkpoint!.state.step).toBe(8)
  })
  it('never saves weights that are not finite', async () => {
    const folder = memoryFolder()
    const attempt = runWith(
      optionsOf({ checkpoint: checkpointIn(folder, 1), learningRate: 1e300, warmupSteps: 0 }),
    )
    await expect(attempt).rejects.toThrow(NumericError)
    expect(folder.files.size).toBe(0)
  })
  it('does nothing once it was stopped before the first step', async () => {
    const events = await runWith(optionsOf({ signal: AbortSignal.abort() }))
    expect(events.map(({ type }) => type)).toEqual(['data-ready', 'train-end'])
    expect(endOf(events)).toMatchObject({ reason: 'stopped', last: { step: 0 } })
  })
})

describe('prepareRun', () => {
  it('refuses bad options, data and models before anything runs', async () => {
    await expect(
      prepareRun(optionsOf({ epochs: 0, batch: { rows: 2, tokens: 1 } })),
    ).rejects.toThrow(OptionError)
    await expect(
      prepareRun(optionsOf({ data: createRawDataset([{ question: 'a' }], 'q') })),
    ).rejects.toThrow(DataError)
    const empty = { name: 'none', format: 'text', rows: [], examples: 0, cut: 0, dropped: 0 }
    await expect(prepareRun(optionsOf({ data: empty }))).rejects.toThrow('none: contains no rows')
    const { tokenizer: _tokenizer, ...base } = model.base
    await expect(prepareRun(optionsOf({ model: { ...model, base } }))).rejects.toThrow(
      'has no tokenizer',
    )
  })
  it('refuses an adapter of another base', async () => {
    const { adapter } = endOf(await runWith(optionsOf({ steps: 1 })))
    const tensors = new Map([...adapter.tensors].slice(1))
    await expect(prepareRun(optionsOf({ adapter: { ...adapter, tensors } }))).rejects.toThrow(
      MismatchError,
    )
  })
  it('refuses a folder in which no checkpoint is sound', async () => {
    const folder = memoryFolder()
    folder.files.set(checkpointFiles[0], new Uint8Array(100))
    await expect(prepareRun(optionsOf({ checkpoint: checkpointIn(folder) }))).rejects.toThrow(
      FormatError,
    )
  })
})
