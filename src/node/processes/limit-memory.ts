// Ends this process when it takes too much memory. A thread watches, because SQLite and WebAssembly
// block the main thread, and their own limits do not hold: Node builds SQLite without counts of its
// memory, and QuickJS counts allocations in WebAssembly as empty.

import { Worker } from 'node:worker_threads'

const pollMs = 20

/**
 * Kills this process if its resident memory grows by more than `mostBytes` from now on. Returns
 * whether it has grown by a quarter of that, so that the next request would be short of memory.
 */
export function limitMemory(mostBytes: number): () => boolean {
  const first = process.memoryUsage.rss()
  const most = first + mostBytes
  const watch = `setInterval(() => {
    if (process.memoryUsage.rss() > ${most}) process.kill(process.pid, 'SIGKILL')
  }, ${pollMs})`
  new Worker(watch, { eval: true }).unref()
  return () => process.memoryUsage.rss() > first + mostBytes / 4
}
