// The process of the soaked server: starts it with the options of the first argument, and tells its
// parent how much memory is kept and what runs.

import { BroadcastChannel } from 'node:worker_threads'
import { type StartServerOptions, startServer } from '../../../src/node/serve/start-server.ts'
import { memoryChannel, type ThreadMemory } from './measure-memory.ts'

export interface ServerState {
  /** Of objects and arrays in all threads, after garbage collection. */
  readonly keptBytes: number
  readonly residentBytes: number
  readonly running: number
  readonly waiting: number
  readonly leases: number
  /** Blocks of keys and values that no sequence uses. */
  readonly idleBlocks: number
}

/** Threads of the server: HTTP, and the model. */
const threads = 2
const server = await startServer(JSON.parse(process.argv[2]!) as StartServerOptions)

async function measureKept(): Promise<number> {
  const channel = new BroadcastChannel(memoryChannel)
  const ask = channel.postMessage.bind(channel)
  const found = new Map<number, number>()
  await new Promise<void>((resolve) => {
    channel.addEventListener('message', (event) => {
      const data = (event as MessageEvent).data as ThreadMemory | 'measure'
      if (data === 'measure') return
      found.set(data.threadId, data.keptBytes)
      if (found.size === threads) resolve()
    })
    ask('measure')
  })
  channel.close()
  return [...found.values()].reduce((sum, bytes) => sum + bytes, 0)
}

async function measureState(): Promise<ServerState> {
  const keptBytes = await measureKept()
  const { running, waiting, experts, kv } = await server.service.stats()
  return {
    keptBytes,
    residentBytes: process.memoryUsage().rss,
    running,
    waiting,
    leases: experts.leases,
    idleBlocks: kv.blocks.free + kv.blocks.cached,
  }
}

process.on('message', (message) => {
  if (message === 'state') void measureState().then((state) => process.send!({ state }))
  if (message !== 'close') return
  void server.close().then((ended) => {
    process.send!({ ended })
    process.disconnect()
  })
})
process.send!({ url: server.url })
