// The messages of tokens alone, without a model: run in a worker by the study of workers.

import type { WorkerObject } from '../../../src/node/index.ts'
import type { GenerateEvent } from '../../../src/runtime/index.ts'

/** Milliseconds of the sender's thread for `count` events, the last value. */
async function* generateEvents(count: number): AsyncGenerator<GenerateEvent | number, void> {
  const started = performance.now()
  for (let i = 0; i < count; i++) yield { type: 'text-delta', text: ' and' }
  yield performance.now() - started
}

const sender = { generateEvents }
export type MessageSender = typeof sender

export const createMessageSender = (): WorkerObject => ({ object: sender })
