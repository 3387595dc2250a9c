// A thread that reads this process's memory twenty times a second: at the largest moment, how much is
// the process's own and how much are pages of files, which the system takes back where it needs room.

import { readFileSync } from 'node:fs'
import { isMainThread, parentPort, Worker } from 'node:worker_threads'

export interface PeakMemory {
  /** Resident, at the largest moment that was seen. */
  readonly residentBytes: number
  /** Of these, pages of files. */
  readonly fileBytes: number
}

const everyMs = 50

function readMemory(): PeakMemory | undefined {
  try {
    const text = readFileSync('/proc/self/status', 'latin1')
    const read = (key: string): number =>
      1024 * Number(new RegExp(`^${key}:\\s+(\\d+)`, 'm').exec(text)?.[1] ?? 0)
    return { residentBytes: read('VmRSS'), fileBytes: read('RssFile') }
  } catch {
    return undefined // no Linux
  }
}

/** Begins to look. The function that it returns ends that and says what was seen. */
export function trackMemory(): () => Promise<PeakMemory | undefined> {
  const worker = new Worker(new URL(import.meta.url))
  worker.unref()
  return async () => {
    const peak = new Promise<PeakMemory | undefined>((resolve) => worker.once('message', resolve))
    worker.postMessage('end', [])
    return peak
  }
}

if (!isMainThread && parentPort) {
  let peak: PeakMemory | undefined
  const timer = setInterval(() => {
    const now = readMemory()
    if (now && now.residentBytes > (peak?.residentBytes ?? 0)) peak = now
  }, everyMs)
  parentPort.once('message', () => {
    clearInterval(timer)
    parentPort?.postMessage(peak, [])
  })
}
