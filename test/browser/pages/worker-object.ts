// What pages/worker.ts calls: runs in a worker of the browser.

import { OptionError } from '../../../src/base/errors.ts'
import { exposeObject } from '../../../src/runtime/worker/expose-object.ts'
import type { RemotePort } from '../../../src/runtime/worker/port.ts'

let left = 0

const counter = {
  add: (numbers: Float32Array): number => numbers.reduce((sum, number) => sum + number, 0),
  async *count(to: number): AsyncGenerator<number, void> {
    try {
      for (let i = 0; i < to; i++) yield i
    } finally {
      left++
    }
  },
  countLeft: (): number => left,
  refuse(name: string): void {
    throw new OptionError(`${name}: not here`)
  },
}
export type WorkerCounter = typeof counter

exposeObject(globalThis as unknown as RemotePort, counter)
