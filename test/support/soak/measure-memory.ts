// Preloaded into every thread of a server: `--import`. Collects garbage and says what is left,
// when it is asked over a channel that all threads share.

import { BroadcastChannel, threadId } from 'node:worker_threads'

export const memoryChannel = 'graft-soak-memory'

export interface ThreadMemory {
  readonly threadId: number
  /** Bytes of objects and arrays that are still used. */
  readonly keptBytes: number
}

/** How often garbage is collected: finalisers of one collection free what the next one takes. */
const collections = 4

const channel = new BroadcastChannel(memoryChannel)
channel.unref()
const tell = channel.postMessage.bind(channel)
channel.addEventListener('message', async (event) => {
  if ((event as MessageEvent).data !== 'measure') return
  const { gc } = globalThis as { gc?: () => void }
  for (let i = 0; i < collections; i++) {
    gc?.()
    await new Promise((done) => setTimeout(done, 5))
  }
  const { heapUsed, external } = process.memoryUsage()
  tell({ threadId, keptBytes: heapUsed + external } satisfies ThreadMemory)
})
