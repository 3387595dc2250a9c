// A worker's module for tests: it counts, and crashes in every way that a worker can.

import { OptionError } from '../../base/errors.ts'
import type { WorkerObject } from './run-worker-task.ts'

export interface SampleOptions {
  readonly start: number
  readonly isRefused?: boolean
  /** Ends the worker while its object is being made. */
  readonly endsEarly?: boolean
}

const sleep = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms))

const createSample = ({ start }: SampleOptions) => ({
  place: (): { pid: number; start: number } => ({ pid: process.pid, start }),
  async *count(to: number, pauseMs = 0): AsyncGenerator<number, void> {
    for (let i = start; i < to; i++) {
      if (pauseMs > 0) await sleep(pauseMs)
      yield i
    }
  },
  wait: (ms: number): Promise<void> => sleep(ms),
  /** Keeps its thread from everything else. */
  block(ms: number): void {
    const end = performance.now() + ms
    while (performance.now() < end);
  },
  throwLater(): void {
    setTimeout(() => {
      throw new RangeError('nothing catches this')
    })
  },
  rejectLater: (): void => void Promise.reject(new RangeError('nothing awaits this')),
  fillHeap(): void {
    const kept: unknown[] = []
    for (;;) kept.push(Array.from({ length: 1000 }, (_, i) => ({ i })))
  },
  end: (code: number): void => process.exit(code),
  killProcess: (): boolean => process.kill(process.pid, 'SIGKILL'),
})

export type Sample = ReturnType<typeof createSample>

let closed = 0

export async function openSample(options: SampleOptions): Promise<WorkerObject> {
  if (options.isRefused) throw new OptionError('start: not this one')
  if (options.endsEarly) process.exit(9)
  return {
    object: createSample(options),
    close: async () => {
      await sleep(20)
      closed++
      if (closed > 1) throw new Error('closed twice')
    },
  }
}
