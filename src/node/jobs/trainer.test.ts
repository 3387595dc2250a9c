import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, it, onTestFinished } from 'vitest'
import { DataError, OptionError } from '../../base/errors.ts'
import { train } from '../train.ts'
import type { TrainJobEvent } from './train-process.ts'
import {
  createTrainer,
  type TrainJob,
  type TrainJobOptions,
  type TrainerOptions,
} from './trainer.ts'

const names = ['Tom', 'Lily', 'Ben', 'Mia', 'Sam', 'Anna', 'Max', 'Sue', 'Tim', 'Amy']
const data = names.map((name) => ({
  prompt: `${name} went to the`,
  completion: ` blue house of ${name}.`,
}))

/** Tests do not wait until the machine has nothing else to do. */
const share = 'half'

async function createFolder(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'graft-jobs-'))
  onTestFinished(() => rm(folder, { recursive: true, force: true }))
  return folder
}

async function createJobs(given: Partial<TrainerOptions> = {}) {
  const folder = await createFolder()
  const registered: [string, unknown][] = []
  const engine = {
    registerAdapter: async (name: string, path: unknown) => {
      registered.push([name, path])
      return { name, version: 1, key: '', kind: 'lora', metadata: {} }
    },
  }
  const trainer = createTrainer({ engine, ...given })
  onTestFinished(() => trainer.close())
  const createOptions = (out: string, more: Partial<TrainJobOptions> = {}): TrainJobOptions => ({
    model: 'stories260k',
    adapter: { kind: 'lora', config: { rank: 4, targets: 'all-linear' } },
    data,
    validation: 0.2,
    epochs: 3,
    batch: { rows: 2 },
    learningRate: 5e-3,
    out: join(folder, out),
    ...more,
  })
  return { trainer, registered, folder, createOptions }
}

async function waitFor(job: TrainJob, isThere: (event: TrainJobEvent) => boolean): Promise<void> {
  for await (const event of job.events()) if (isThere(event)) return
}

const readWeights = (out: string): Promise<Buffer> =>
  readFile(join(out, 'adapter_model.safetensors'))

describe('a training job', () => {
  it('trains in a process, tells how it goes, and its expert serves', async () => {
    const { trainer, registered, createOptions } = await createJobs()
    const options = createOptions('tales')
    const job = await trainer.train(options, { name: 'tales', share })
    expect(job.plan.time).toBeDefined()
    const types: string[] = []
    for await (const { type } of job.events()) types.push(type)
    expect([...new Set(types)]).toEqual([
      'process-started',
      'data-ready',
      'step-end',
      'validation-end',
      'checkpoint-saved',
      'train-end',
      'evaluation-start',
      'evaluation-end',
    ])
    const { isAdmitted, reason, report, out } = await job.done
    expect([isAdmitted, reason, out]).toEqual([true, undefined, options.out])
    expect(report).toMatchObject({ name: 'tales', rows: 2, currentLoss: undefined })
    expect(report.loss).toBeLessThan(report.baseLoss)
    expect(job.state).toBe('done')
    expect(registered).toEqual([['tales', options.out]])

    // The next version is compared with the one that serves now.
    const worse = { ...createOptions('worse'), epochs: 1, learningRate: 1e-6 }
    const second = await trainer.train(worse, { name: 'tales', share })
    const kept = await second.done
    expect(kept.isAdmitted).toBe(false)
    expect(kept.reason).toMatch(
      /^its loss on 2 held-out rows is .+, that of the version that serves/,
    )
    expect(kept.report.currentLoss).toBeCloseTo(report.loss, 5)
    expect(kept.report.baseLoss).toBeCloseTo(report.baseLoss, 5)
    expect((await readWeights(kept.out)).length).toBeGreaterThan(0)
    expect(registered).toHaveLength(1)
  }, 120_000)

  it('refuses wrong options and wrong data before anything is queued', async () => {
    const { trainer, folder, createOptions } = await createJobs()
    const attempt = (more: object, choice: object = { name: 'a', share }) =>
      trainer.train(createOptions('a', more), choice as never)
    await expect(attempt({ epoch: 1 })).rejects.toThrow(/Did you mean "epochs"/)
    await expect(attempt({}, { name: 'a', shares: 'half' })).rejects.toThrow(/Did you mean "share"/)
    await expect(attempt({}, {})).rejects.toThrow(/name is missing/)
    await expect(attempt({ model: {} })).rejects.toThrow(/give its path or name/)
    await expect(
      attempt({ data: data.map(({ prompt }) => ({ promt: prompt })) }),
    ).rejects.toBeInstanceOf(DataError)
    await expect(attempt({ data: join(folder, 'none.jsonl') })).rejects.toThrow(/no such file/)
    await expect(attempt({ data: data.slice(0, 1) })).rejects.toBeInstanceOf(OptionError)
    await expect(attempt({ validation: undefined, data: [] })).rejects.toThrow(/no rows/)
    await expect(attempt({ onStep: () => {} })).rejects.toThrow(/onStep: got a function/)
    expect(trainer.jobs()).toEqual([])
  }, 120_000)

  it('asks a gate of its own, on rows of its own', async () => {
    const { trainer, registered, createOptions } = await createJobs()
    const job = await trainer.train(createOptions('a', { validation: undefined, epochs: 1 }), {
      name: 'a',
      share,
      evaluation: data.slice(0, 3),
      gate: ({ rows }) => `${rows} rows are too few`,
    })
    expect(await job.done).toMatchObject({ isAdmitted: false, reason: '3 rows are too few' })
    expect(registered).toEqual([])
  }, 120_000)

  it('runs after those before it, and can be cancelled and resumed', async () => {
    const { trainer, createOptions } = await createJobs()
    // long enough to be under way when the first event is read, on a busy machine too
    const long = createOptions('long', { epochs: 30, checkpoint: { everySteps: 5 } })
    const whole = { ...long, out: createOptions('whole').out }
    const first = await trainer.train(long, { name: 'first', share })
    const second = await trainer.train(createOptions('second'), { name: 'second', share })
    await waitFor(first, ({ type }) => type === 'step-end')
    expect([first.state, second.state]).toEqual(['running', 'waiting'])
    await second.cancel()
    await expect(second.done).rejects.toThrow('second was cancelled')
    await first.cancel(new OptionError('another time'))
    expect([first.state, second.state]).toEqual(['cancelled', 'cancelled'])
    await expect(first.done).rejects.toThrow('another time')
    const again = await trainer.train({ ...long, resume: true }, { name: 'first', share })
    await again.done
    await train({ ...whole }).done
    expect((await readWeights(long.out)).equals(await readWeights(whole.out))).toBe(true)
  }, 120_000)

  it('continues from its checkpoint where its process is killed', async () => {
    const { trainer, createOptions } = await createJobs()
    const options = createOptions('killed', { epochs: 4, checkpoint: { everySteps: 1 } })
    const whole = { ...options, out: createOptions('whole').out }
    const job = await trainer.train(options, { name: 'killed', share })
    let killed = false
    const resumed: string[] = []
    let pid = 0
    for await (const event of job.events()) {
      if (event.type === 'process-started') ({ pid } = event)
      if (event.type === 'step-end' && event.step === 3 && !killed)
        killed = process.kill(pid, 'SIGKILL')
      if (event.type === 'job-resumed') resumed.push(event.reason)
    }
    expect([killed, resumed]).toEqual([true, ['signal SIGKILL']])
    expect((await job.done).report.rows).toBe(2)
    await train({ ...whole }).done
    expect((await readWeights(options.out)).equals(await readWeights(whole.out))).toBe(true)
  }, 120_000)

  it('is cancelled when its trainer is closed, which takes no more', async () => {
    const { trainer, createOptions } = await createJobs()
    const job = await trainer.train(createOptions('a', { epochs: 50 }), { name: 'a', share })
    await waitFor(job, ({ type }) => type === 'step-end')
    await trainer.close()
    expect(job.state).toBe('cancelled')
    await expect(trainer.train(createOptions('b'), { name: 'b', share })).rejects.toThrow(
      /takes no more jobs/,
    )
  }, 120_000)
})
