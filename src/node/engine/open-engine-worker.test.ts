import { spawnSync } from 'node:child_process'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, it, onTestFinished } from 'vitest'
import { createAdapter } from '../../adapters/index.ts'
import type { Adapter } from '../../adapters/adapter.ts'
import { MismatchError, NotFoundError, OptionError, WorkerError } from '../../base/errors.ts'
import { random } from '../../base/random.ts'
import { createEngine } from '../../runtime/create-engine.ts'
import type { Generation } from '../../runtime/engine/answer.ts'
import { createEngineClient } from '../../runtime/worker/create-engine-client.ts'
import {
  type ClientRequest,
  type EngineClient,
  engineSequences,
} from '../../runtime/worker/engine-client.ts'
import { loadModel } from '../model.ts'
import type { CrashingEngine } from './crashing-engine.testing.ts'
import type { EngineTask } from './engine-module.ts'
import { type EngineWorkerOptions, openEngineWorker } from './open-engine-worker.ts'
import { openWorker } from '../worker/open-worker.ts'

const model = await loadModel('stories260k')

/** An adapter that changes answers. */
async function createLoudAdapter(seed: number): Promise<Adapter> {
  const fresh = await createAdapter('lora', { rank: 4, targets: ['q_proj', 'v_proj'] }, model)
  const draw = random(seed)
  const tensors = new Map(
    [...fresh.tensors].map(([key, tensor]) => {
      const data = (tensor.data as Float32Array).map(() => draw.uniform() - 0.5)
      return [key, { ...tensor, data } as typeof tensor]
    }),
  )
  return { ...fresh, tensors }
}

async function openEngine(options: Partial<EngineWorkerOptions> = {}) {
  const engine = await openEngineWorker({ model: 'stories260k', onCrash: () => {}, ...options })
  onTestFinished(() => engine.dispose())
  return engine
}

async function answer(engine: EngineClient, request: ClientRequest): Promise<Generation> {
  for await (const event of engine.generate({ maxTokens: 16, ...request }))
    if (event.type === 'generation-end') return event
  throw new Error('no end')
}

const openHere = (): EngineClient => createEngineClient({ model, engine: createEngine({ model }) })

describe('an engine in a worker', () => {
  it('answers as one in this thread: base, expert by name and value, copies', async () => {
    const [here, there] = [openHere(), await openEngine()]
    const loud = await createLoudAdapter(1)
    const given = { prompt: 'Lily and Tom', temperature: 0.8, seed: 3 }
    for (const engine of [here, there]) await engine.registerAdapter('loud', loud)
    const ask = async (engine: EngineClient) => {
      const copies: string[] = ['', '']
      for await (const event of engine.generateCopies({ ...given, maxTokens: 8 }, 2))
        if (event.type === 'text-delta') copies[event.copy] += event.text
      return {
        ids: await engine.encode('Lily'),
        base: (await answer(engine, given)).ids,
        named: (await answer(engine, { ...given, adapter: 'loud' })).ids,
        value: (await answer(engine, { ...given, adapter: loud })).ids,
        copies,
        experts: await engine.listAdapters(),
      }
    }
    const [mine, theirs] = [await ask(here), await ask(there)]
    expect(theirs).toEqual(mine)
    expect(theirs.named).not.toEqual(theirs.base)
    expect(theirs.value).toEqual(theirs.named)
    expect(theirs.experts).toMatchObject([{ name: 'loud', version: 1, kind: 'lora' }])
    const { finished, experts } = await there.stats()
    expect([finished, experts.names]).toEqual([5, 1])
    await there.unloadAdapter('loud')
    await expect(answer(there, { ...given, adapter: 'loud' })).rejects.toBeInstanceOf(NotFoundError)
  })

  it('refuses what cannot be, before anything is queued', async () => {
    const engine = await openEngine()
    await expect(answer(engine, { prompt: 'a', maxToken: 3 } as never)).rejects.toThrow(
      /there is no option "maxToken". Did you mean "maxTokens"/,
    )
    const states = { layer: 1, take: () => {} }
    await expect(answer(engine, { prompt: 'a', states } as never)).rejects.toThrow(
      /at \[0\]\.states\.take: got a function/,
    )
    const loud = await createLoudAdapter(1)
    const [key] = loud.tensors.keys()
    const wrong = { ...loud, tensors: new Map([...loud.tensors].filter(([name]) => name !== key)) }
    const error = await engine.registerAdapter('wrong', wrong).catch((thrown: unknown) => thrown)
    expect(error).toBeInstanceOf(MismatchError)
    expect((error as MismatchError).mismatches[0]!.name).toBe(key)
    await expect(engine.registerAdapter('gone', '/nowhere')).rejects.toBeInstanceOf(NotFoundError)
    await expect(openEngine({ model: 'no-such-model', offline: true })).rejects.toThrow(
      NotFoundError,
    )
    await expect(openEngine({ maxRow: 1 } as never)).rejects.toThrow(/Did you mean "maxRows"/)
    await expect(openEngine({ maxRows: 0 })).rejects.toBeInstanceOf(OptionError)
    expect((await engine.stats()).finished).toBe(0)
  })

  it('cancels what its reader leaves, also while it waits for a row', async () => {
    const engine = await openEngine({ maxRows: 1 })
    const first = engine.generate({ prompt: 'Lily', maxTokens: 400, minTokens: 400 })
    await first.next()
    const second = engine.generate({ prompt: 'Tom', maxTokens: 400 })
    const waiting = second.next()
    await engine.encode('a')
    await second.return()
    expect(await waiting).toEqual({ done: true, value: undefined })
    const control = new AbortController()
    const third = engine.generate({ prompt: 'Tom', signal: control.signal }).next()
    await engine.encode('a')
    control.abort(new OptionError('not needed'))
    await expect(third).rejects.toThrow('not needed')
    await first.return()
    const { cancelled, running, waiting: queued } = await engine.stats()
    expect([cancelled, running, queued]).toEqual([3, 0, 0])
  })

  it('in a thread crashes in the middle of answers, and answers again', async () => {
    const loud = await createLoudAdapter(2)
    const expert = { name: 'loud', expert: loud, metadata: undefined, isPinned: true }
    const task: EngineTask = {
      model: 'stories260k',
      load: {},
      engine: {},
      prefixFolder: undefined,
      experts: [expert],
      isStartedAgain: false,
    }
    const worker = await openWorker<CrashingEngine>({
      module: new URL('./crashing-engine.testing.ts', import.meta.url),
      factory: 'openCrashingEngine',
      options: task,
      sequences: engineSequences,
      onCrash: () => {},
    })
    onTestFinished(() => worker.close())
    const request = { prompt: 'Lily', adapter: 'loud' }
    const before = await answer(worker.object, request)
    const long = { ...request, maxTokens: 450, minTokens: 450 }
    const running = answer(worker.object, long).catch((error: unknown) => error)
    void worker.object.throwLater().catch(() => {})
    expect(await running).toBeInstanceOf(WorkerError)
    expect((await answer(worker.object, request)).ids).toEqual(before.ids)
    expect(worker.report().crashes).toBe(1)
  })

  it('in a process crashes with a full heap, and is there again with its experts', async () => {
    const loud = await createLoudAdapter(2)
    const engine = await openEngine({ isolation: 'process', heapMb: 64, experts: { loud } })
    const request = { prompt: 'Lily', adapter: 'loud' }
    const before = await answer(engine, request)
    await engine.pinAdapter('loud')
    const long = { ...request, maxTokens: 450, minTokens: 450 }
    const running = answer(engine, long).catch((error: unknown) => error)
    const crash = engine.encode('a b '.repeat(8_000_000)).catch((error: unknown) => error)
    expect(await crash).toBeInstanceOf(WorkerError)
    expect(await running).toBeInstanceOf(WorkerError)
    expect((await answer(engine, request)).ids).toEqual(before.ids)
    expect(await engine.listAdapters()).toMatchObject([{ name: 'loud' }])
    expect(engine.report()).toMatchObject({ state: 'ready', crashes: 1 })
  }, 60_000)

  it('lets its process end in the middle of a run, asked for or not', () => {
    const entry = JSON.stringify(new URL('../index.ts', import.meta.url).href)
    const run = (end: string) =>
      spawnSync(
        process.execPath,
        [
          '--input-type=module',
          '-e',
          `import { openEngineWorker } from ${entry}
          const engine = await openEngineWorker({ model: 'stories260k', threads: 1 })
          const ask = (k) => engine.generate({ prompt: new Array(480).fill(3 + k), cache: false })
          const waiting = Array.from({ length: 16 }, (_, k) => ask(k))
          for (const one of waiting) void one.next().catch(() => {})
          await engine.encode('a')
          ${end}`,
        ],
        { encoding: 'utf8', timeout: 60_000 },
      )
    const ends = [run('process.exit(7)'), run('for (const one of waiting) void one.return()')]
    expect(ends).toMatchObject([
      { status: 7, stderr: '' },
      { status: 0, stderr: '' },
    ])
  }, 120_000)

  it('trains an expert while it answers requests, and then serves it', async () => {
    const out = await mkdtemp(join(tmpdir(), 'graft-engine-'))
    onTestFinished(() => rm(out, { recursive: true, force: true }))
    const engine = await openEngine({ trainShare: 'half' })
    const data = ['Tom', 'Lily', 'Ben', 'Mia', 'Sam', 'Anna'].map((name) => ({
      prompt: `${name} went`,
      completion: ' to the blue house.',
    }))
    const options = { data, validation: 0.2, epochs: 8, learningRate: 1e-2, out: join(out, 'a') }
    const job = await engine.train(options, { name: 'a' })
    const before = await answer(engine, { prompt: 'Lily went' })
    expect(engine.jobs()).toMatchObject([{ name: 'a', state: 'running' }])
    const { isAdmitted, report } = await job.done
    expect(isAdmitted).toBe(true)
    expect(report.loss).toBeLessThan(report.baseLoss)
    const after = await answer(engine, { prompt: 'Lily went', adapter: 'a' })
    expect(after.text).not.toBe(before.text)
    expect(await engine.listAdapters()).toMatchObject([{ name: 'a', version: 1 }])
  }, 120_000)

  it('trains in half of the machine only where the engine leaves it', async () => {
    const engine = await openEngine({})
    const job = engine.train({ data: [], out: '/nowhere' }, { name: 'a', share: 'half' })
    await expect(job).rejects.toThrow(/open it with trainShare: 'half' or threads: \d+ \(got all\)/)
    expect(engine.jobs()).toEqual([])
  })

  it('is disposed in the middle of answers: they end, nothing else does', async () => {
    const engine = await openEngine()
    const running = [1, 2, 3].map((seed) =>
      answer(engine, { prompt: 'Lily', seed, maxTokens: 450, minTokens: 450 }).catch(
        (error: unknown) => error,
      ),
    )
    await engine.encode('a')
    await engine.dispose()
    for (const end of await Promise.all(running)) expect(end).toBeInstanceOf(Error)
    expect(engine.report().state).toBe('closed')
    await expect(answer(engine, { prompt: 'a' })).rejects.toBeInstanceOf(WorkerError)
  })
})
