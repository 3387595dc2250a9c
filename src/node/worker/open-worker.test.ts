import { spawnSync } from 'node:child_process'
import { getPriority } from 'node:os'
import { fileURLToPath } from 'node:url'
import { describe, expect, it, onTestFinished } from 'vitest'
import { OptionError, WorkerError } from '../../base/errors.ts'
import { openWorker, type OpenWorkerOptions } from './open-worker.ts'
import type { CrashReport } from './restarted-worker.ts'
import type { Sample } from './sample-worker.testing.ts'

const module = new URL('./sample-worker.testing.ts', import.meta.url)

async function openSample(options: Partial<OpenWorkerOptions<Sample>> = {}) {
  const crashes: CrashReport[] = []
  const worker = await openWorker<Sample>({
    module,
    factory: 'openSample',
    options: { start: 0 },
    sequences: ['count'],
    name: 'the sample',
    onCrash: (report) => crashes.push(report),
    ...options,
  })
  onTestFinished(() => worker.close())
  return { worker, crashes, sample: worker.object }
}

const catchError = async (promise: Promise<unknown>): Promise<unknown> =>
  promise.then(
    () => undefined,
    (error: unknown) => error,
  )

describe.each(['thread', 'process'] as const)('a worker in a %s', (isolation) => {
  it('answers, streams, and closes after what runs', async () => {
    const { worker, sample } = await openSample({ isolation })
    const { pid } = await sample.place()
    expect(pid === process.pid).toBe(isolation === 'thread')
    const values: number[] = []
    for await (const value of sample.count(5)) values.push(value)
    expect(values).toEqual([0, 1, 2, 3, 4])
    expect(worker.report()).toMatchObject({ state: 'ready', crashes: 0, inFlight: 0 })
    const reading = sample.count(1_000_000)
    await reading.next()
    await worker.close()
    expect(worker.report().state).toBe('closed')
    await expect(sample.place()).rejects.toBeInstanceOf(WorkerError)
  })

  it('throws what its factory throws', async () => {
    const opening = openSample({ isolation, options: { start: 0, isRefused: true } })
    const error = await catchError(opening)
    expect(error).toBeInstanceOf(OptionError)
    expect((error as Error).message).toBe('start: not this one')
    // Also where the worker ends before what it says has been read.
    const late = openSample({ isolation, options: { start: 0, isRefused: true } })
    const end = performance.now() + 300
    setTimeout(() => {
      while (performance.now() < end);
    })
    await expect(late).rejects.toThrow('start: not this one')
    await expect(openSample({ isolation, options: { endsEarly: true } })).rejects.toThrow(
      /the sample crashed \(exit code 9\)/,
    )
    await expect(openSample({ isolation, factory: 'openSampel' })).rejects.toThrow(
      /has no function openSampel; it exports openSample/,
    )
  })

  it('crashes by an error that nothing catches: calls end, then it is there again', async () => {
    let starts = 0
    const { worker, crashes, sample } = await openSample({
      isolation,
      options: () => ({ start: starts++ }),
    })
    const waiting = catchError(sample.wait(60_000))
    const reading = sample.count(60_000, 10)
    await reading.next()
    const next = catchError(
      (async () => {
        for (;;) if ((await reading.next()).done) return
      })(),
    )
    void catchError(sample.throwLater())
    const error = (await waiting) as WorkerError
    expect(error).toBeInstanceOf(WorkerError)
    expect(error.message).toMatch(/^the sample crashed \(.+\) before it answered/)
    expect(await next).toBeInstanceOf(WorkerError)
    expect((await sample.place()).start).toBe(1)
    expect(crashes).toMatchObject([{ worker: 'the sample', isStartedAgain: true }])
    expect(crashes[0]!.lostCalls).toBeGreaterThanOrEqual(2)
    // A process tells its exit code alone; what was thrown is on stderr.
    const reasons = { thread: 'RangeError: nothing catches this', process: 'exit code 1' }
    expect(crashes[0]!.reason).toBe(reasons[isolation])
    expect(worker.report()).toMatchObject({ state: 'ready', crashes: 1 })
  })

  it('is not started again for ever', async () => {
    const { worker, crashes, sample } = await openSample({ isolation, maxCrashes: 1 })
    await catchError(sample.end(3))
    await catchError(sample.end(4))
    expect(worker.report().state).toBe('failed')
    await expect(sample.place()).rejects.toThrow(
      /crashed 2 times within a minute \(at last: exit code 4\); it is not restarted/,
    )
    expect(crashes.map(({ isStartedAgain }) => isStartedAgain)).toEqual([true, false])
  })
})

describe('a worker', () => {
  it('in a thread survives a full heap and an unhandled rejection', async () => {
    const { crashes, sample } = await openSample({ heapMb: 32 })
    expect(await catchError(sample.fillHeap())).toBeInstanceOf(WorkerError)
    expect(await sample.place()).toMatchObject({ start: 0 })
    await catchError(sample.rejectLater())
    await catchError(sample.wait(1000))
    expect(await sample.place()).toMatchObject({ start: 0 })
    expect(crashes.map(({ reason }) => reason)).toEqual([
      'its heap is full',
      'RangeError: nothing awaits this',
    ])
  })

  it('in a process leaves ending a process group to its parent', async () => {
    const { crashes, sample } = await openSample({ isolation: 'process' })
    const { pid } = await sample.place()
    for (const signal of ['SIGINT', 'SIGTERM'] as const) process.kill(pid, signal)
    await sample.wait(100)
    expect([(await sample.place()).pid, crashes]).toEqual([pid, []])
  })

  it('in a process survives being killed', async () => {
    const { crashes, sample } = await openSample({ isolation: 'process', priority: 19 })
    const { pid } = await sample.place()
    expect(getPriority(pid)).toBe(19)
    await catchError(sample.killProcess())
    expect(await sample.place()).toMatchObject({ start: 0 })
    expect(crashes).toMatchObject([{ reason: 'signal SIGKILL' }])
  })

  it('that cannot be made again counts as crashed', async () => {
    const given = [{ start: 0 }, { start: 0, isRefused: true }, { start: 2 }]
    const { crashes, sample } = await openSample({ options: () => given.shift() })
    await catchError(sample.end(1))
    expect(await catchError(sample.place())).toBeInstanceOf(WorkerError)
    expect((await sample.place()).start).toBe(2)
    expect(crashes.map(({ reason }) => reason)).toEqual(['exit code 1', 'start: not this one'])
  })

  it('refuses unknown options, and those that cannot travel', async () => {
    await expect(openSample({ isolaton: 'thread' } as never)).rejects.toThrow(
      /there is no option "isolaton". Did you mean "isolation"/,
    )
    await expect(openSample({ options: { start: () => 0 } })).rejects.toThrow(
      /options of the sample, at start: got a function/,
    )
    await expect(openWorker({ factory: 'a' } as never)).rejects.toThrow(/module and factory/)
  })

  it('lets its process end: idle, and in the middle of a call', () => {
    const open = fileURLToPath(new URL('./open-worker.ts', import.meta.url))
    const start = `
      import { openWorker } from ${JSON.stringify(open)}
      const { object } = await openWorker({ module: ${JSON.stringify(String(module))},
        factory: 'openSample', options: { start: 0 }, sequences: ['count'] })
      console.log((await object.place()).start)`
    const run = (code: string, flags: readonly string[] = []) =>
      spawnSync(process.execPath, [...flags, '--input-type=module', '-e', start + code], {
        encoding: 'utf8',
        timeout: 20_000,
      })
    expect(run('')).toMatchObject({ status: 0, stdout: '0\n', stderr: '' })
    // V8's flags are those of all threads: Node refuses to be told them again
    expect(run('', ['--max-old-space-size=300', '--expose-gc'])).toMatchObject({
      status: 0,
      stdout: '0\n',
      stderr: '',
    })
    const busy = run(`
      void object.block(300)
      setTimeout(() => process.exit(5), 50)`)
    expect(busy).toMatchObject({ status: 5, stderr: '' })
  })
})
