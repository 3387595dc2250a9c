import { describe, expect, it } from 'vitest'
import { OptionError } from '../../base/errors.ts'
import { JobQueue, type JobWork } from './job-queue.ts'

/** Gives numbers until it is told to end or to fail. */
function createWork() {
  const end = Promise.withResolvers<string>()
  const work: JobWork<number, string> = async function* (signal) {
    yield 1
    const left = new Promise<never>((_, reject) => {
      signal.addEventListener('abort', () => reject(signal.reason), { once: true })
    })
    const result = await Promise.race([end.promise, left])
    yield 2
    return result
  }
  return { work, finish: end.resolve, fail: end.reject }
}

async function readAll(events: AsyncIterable<number>): Promise<number[]> {
  const read: number[] = []
  for await (const event of events) read.push(event)
  return read
}

describe('a queue of jobs', () => {
  it('runs one at a time, in order; a failed one does not stop others', async () => {
    const queue = new JobQueue<number, string>()
    const [a, b, c] = [createWork(), createWork(), createWork()]
    const jobs = [queue.add('a', a.work), queue.add('b', b.work), queue.add('c', c.work)]
    const states = (): string[] => jobs.map(({ state }) => state)
    const early = readAll(jobs[0]!.events())
    const later = readAll(jobs[1]!.events())
    expect(states()).toEqual(['running', 'waiting', 'waiting'])
    a.finish('first')
    expect(await jobs[0]!.done).toBe('first')
    expect([await early, await readAll(jobs[0]!.events())]).toEqual([
      [1, 2],
      [1, 2],
    ])
    b.fail(new OptionError('no'))
    await expect(jobs[1]!.done).rejects.toThrow('no')
    expect(await later).toEqual([1])
    expect([states(), jobs[1]!.error]).toEqual([
      ['done', 'failed', 'running'],
      new OptionError('no'),
    ])
    c.finish('last')
    expect(await jobs[2]!.done).toBe('last')
    expect(queue.list().map(({ id, name, latest }) => [id, name, latest])).toEqual([
      [0, 'a', 2],
      [1, 'b', 1],
      [2, 'c', 2],
    ])
  })

  it('runs several at a time where it is asked to', () => {
    const queue = new JobQueue<number, string>(2)
    const jobs = ['a', 'b', 'c'].map((name) => queue.add(name, createWork().work))
    expect(jobs.map(({ state }) => state)).toEqual(['running', 'running', 'waiting'])
  })

  it('cancels a waiting one, a running one, and all when it is closed', async () => {
    const queue = new JobQueue<number, string>()
    const jobs = ['a', 'b', 'c', 'd'].map((name) => queue.add(name, createWork().work))
    await jobs[1]!.cancel()
    await jobs[0]!.cancel('enough')
    expect(jobs.map(({ state }) => state)).toEqual(['cancelled', 'cancelled', 'running', 'waiting'])
    await expect(jobs[0]!.done).rejects.toBe('enough')
    await queue.close()
    expect(jobs.map(({ state }) => state)).toEqual(Array.from({ length: 4 }, () => 'cancelled'))
    expect(() => queue.add('e', createWork().work)).toThrow(/takes no more jobs/)
  })

  it('keeps the last thousand events', async () => {
    const queue = new JobQueue<number, string>()
    const job = queue.add('many', async function* () {
      for (let i = 0; i < 1500; i++) yield i
      return ''
    })
    await job.done
    const events = await readAll(job.events())
    expect([events.length, events[0], events.at(-1)]).toEqual([1000, 500, 1499])
  })

  it('keeps only the newest 32 of the ended ones', async () => {
    const queue = new JobQueue<number, string>(50)
    const waiting = queue.add('runs', createWork().work)
    for (let i = 0; i < 40; i++) {
      const { work, finish } = createWork()
      finish(`${i}`)
      await queue.add(`${i}`, work).done
    }
    expect(queue.list().map(({ name }) => name)).toEqual([
      'runs',
      ...Array.from({ length: 32 }, (_, i) => `${i + 8}`),
    ])
    expect(queue.list().at(-1)!.id).toBe(40)
    await waiting.cancel()
  })
})
