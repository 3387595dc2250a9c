// Remote objects in a browser: their own tests, and a worker of the browser that speaks the same
// messages.

import { describe, expect, it } from 'vitest'
import { OptionError } from '../../../src/base/errors.ts'
import { connectObject } from '../../../src/runtime/worker/connect-object.ts'
import '../../../src/runtime/worker/remote-object.test.ts'
import { runAll } from './suite.ts'
import type { WorkerCounter } from './worker-object.ts'

describe('a worker of the browser', () => {
  it('answers, streams, is left and stopped, and throws errors of their class', async () => {
    const worker = new Worker('/worker-object/page.js', { type: 'module' })
    const { object, ready, stop } = connectCounter(worker)
    await ready
    expect(await object.add(Float32Array.of(1, 2))).toBe(3)
    const values: number[] = []
    for await (const value of object.count(1_000_000)) {
      values.push(value)
      if (value === 2) break
    }
    expect([values, await object.countLeft()]).toEqual([[0, 1, 2], 1])
    const error = await object.refuse('width').catch((thrown: unknown) => thrown)
    expect(error).toBeInstanceOf(OptionError)
    expect((error as Error).message).toBe('width: not here')
    await stop()
    worker.terminate()
  })
})

function connectCounter(worker: Worker) {
  const connection = connectObject<WorkerCounter>(worker, { sequences: ['count'] })
  const { object, ready } = connection
  return { object, ready, stop: () => connection.stop() }
}

Object.assign(globalThis, { outcomes: runAll() })
