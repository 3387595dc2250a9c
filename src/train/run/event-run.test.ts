// The events of a run and its result, whichever of the two is asked for.
import { describe, expect, it } from 'vitest'
import { GraftError, OptionError } from '../../base/errors.ts'
import { createEventRun } from './event-run.ts'

type Event =
  | { readonly type: 'step-end'; readonly step: number }
  | { readonly type: 'train-end'; readonly adapter: string }

/** Two steps and an end; counts how often it was opened and closed. */
function createRun(fault?: Error) {
  const seen = { opened: 0, closed: 0 }
  const run = createEventRun<Event>(async function* () {
    seen.opened++
    try {
      yield { type: 'step-end', step: 1 }
      if (fault) throw fault
      yield { type: 'step-end', step: 2 }
      yield { type: 'train-end', adapter: 'x' }
    } finally {
      seen.closed++
    }
  })
  return { run, seen }
}

async function listTypes(run: AsyncIterable<Event>): Promise<string[]> {
  const types: string[] = []
  for await (const event of run) types.push(event.type)
  return types
}

describe('a run', () => {
  it('does nothing until it is asked for events or its result', async () => {
    const { seen } = createRun()
    await Promise.resolve()
    expect(seen).toEqual({ opened: 0, closed: 0 })
  })
  it('goes to its end for its result, and is closed then', async () => {
    const { run, seen } = createRun()
    const { adapter } = await run.done
    expect([adapter, seen]).toEqual(['x', { opened: 1, closed: 1 }])
    expect(await run.done).toEqual({ type: 'train-end', adapter: 'x' })
    expect(seen.opened).toBe(1)
  })
  it('gives its events in order, and its result after them', async () => {
    const { run, seen } = createRun()
    expect(await listTypes(run)).toEqual(['step-end', 'step-end', 'train-end'])
    expect((await run.done).adapter).toBe('x')
    expect(seen).toEqual({ opened: 1, closed: 1 })
  })
  it('leaves its events to a loop that begins at once, though its result was asked for', async () => {
    const { run, seen } = createRun()
    const { done } = run
    expect(await listTypes(run)).toHaveLength(3)
    expect((await done).adapter).toBe('x')
    expect(seen.opened).toBe(1)
  })
  it('has its result within the loop, as soon as the last event is there', async () => {
    const { run } = createRun()
    let adapter: string | undefined
    for await (const event of run)
      if (event.type === 'train-end') adapter = (await run.done).adapter
    expect(adapter).toBe('x')
  })
  it('refuses a loop that begins after it went on alone', async () => {
    const { run } = createRun()
    await run.done
    await expect(listTypes(run)).rejects.toThrow(OptionError)
  })
  it('has no result where its loop was left before the end', async () => {
    const { run, seen } = createRun()
    for await (const _ of run) break
    expect(seen.closed).toBe(1)
    await expect(run.done).rejects.toThrow(GraftError)
  })
  it('has its result where its loop was left at the end', async () => {
    const { run } = createRun()
    for await (const event of run) if (event.type === 'train-end') break
    expect((await run.done).adapter).toBe('x')
  })
  it('fails with its error, in a loop as in its result, and once where only one is asked for', async () => {
    const fault = new OptionError('no')
    const looped = createRun(fault)
    await expect(listTypes(looped.run)).rejects.toBe(fault)
    // an unhandled rejection would end the test
    await new Promise((resolve) => setTimeout(resolve, 5))
    await expect(looped.run.done).rejects.toBe(fault)
    await expect(createRun(fault).run.done).rejects.toBe(fault)
  })
})
