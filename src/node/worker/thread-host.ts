// A worker in a thread of this process (worker_threads): memory can be shared, and a message takes
// 50 µs. A native crash (a segmentation fault) ends the whole process; an uncaught error or a full
// heap ends only the thread.

import {
  MessageChannel,
  type MessagePort,
  receiveMessageOnPort,
  Worker,
  type WorkerOptions,
} from 'node:worker_threads'
import type { RemotePort } from '../../runtime/worker/port.ts'
import { delayProcessExit } from './exit-guard.ts'
import {
  endingMs,
  type HostOptions,
  listNodeFlags,
  locateModule,
  type WorkerEnd,
  type WorkerHost,
  type WorkerTask,
} from './worker-host.ts'

/**
 * A thread with Node's flags. Flags of V8 and of the whole process, such as --max-old-space-size,
 * apply to every thread already, and Node refuses them here.
 */
function createThread(flags: readonly string[], options: WorkerOptions): Worker {
  const create = (execArgv: string[]): Worker =>
    new Worker(locateModule(import.meta.url, 'thread-main'), Object.assign({ execArgv }, options))
  try {
    return create([...flags])
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException
    if (code !== 'ERR_WORKER_INVALID_EXEC_ARGV') throw error
    const refused = message.slice(message.indexOf('--')).split(', ')
    return create(flags.filter((flag) => !refused.includes(flag)))
  }
}

export function startThread(task: WorkerTask, options: HostOptions): WorkerHost {
  const { name, heapMb, environment } = options
  const { port1, port2 } = new MessageChannel()
  /** Set to 1 by the worker when it has stopped. */
  const parked = new Int32Array(new SharedArrayBuffer(4))
  const worker = createThread(listNodeFlags(), {
    name,
    workerData: { task, port: port2, parked },
    transferList: [port2],
    ...(environment && { env: { ...process.env, ...environment } }),
    ...(heapMb !== undefined && { resourceLimits: { maxOldGenerationSizeMb: heapMb } }),
  })
  // Always, because a run may continue after the last call has ended: a request that was left.
  const removeGuard = delayProcessExit(() => {
    worker.postMessage('park', [])
    Atomics.wait(parked, 0, 0, parkingMs)
  })
  const ended = waitForEnd(worker, port1)
  void ended.then(() => {
    removeGuard()
    port1.close()
  })
  return {
    port: port1,
    ended,
    setBusy(isBusy) {
      if (isBusy) worker.ref()
      else worker.unref()
      if (isBusy) port1.ref()
      else port1.unref()
    },
    async close() {
      worker.ref() // else this process might end before the worker has
      port1.close()
      const timer = setTimeout(() => void worker.terminate(), endingMs)
      await ended
      clearTimeout(timer)
    },
    async kill() {
      await worker.terminate()
      await ended
    },
  }
}

/** Longer than any run of a program that answers requests. */
const parkingMs = 10_000

/**
 * A thread's last messages may arrive after its end, in particular the reason why it has no object.
 */
function takeLastMessages(port: MessagePort): void {
  const { onmessage } = port as RemotePort
  for (let last = receiveMessageOnPort(port); last; last = receiveMessageOnPort(port))
    (onmessage as ((event: unknown) => void) | null)?.({ data: last.message })
}

function waitForEnd(worker: Worker, port: MessagePort): Promise<WorkerEnd> {
  return new Promise((resolve) => {
    let error: Error | undefined
    worker.once('error', (thrown: unknown) => {
      error = thrown instanceof Error ? thrown : new Error(String(thrown))
    })
    worker.once('exit', (code) => {
      takeLastMessages(port)
      resolve({ code, error, reason: error ? describeError(error) : `exit code ${code}` })
    })
  })
}

function describeError(error: Error): string {
  const isHeap = 'code' in error && error.code === 'ERR_WORKER_OUT_OF_MEMORY'
  return isHeap ? 'its heap is full' : `${error.name}: ${error.message}`
}
