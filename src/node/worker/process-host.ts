// A worker in its own process (child_process): a native crash ends that process alone, and it has
// its own priority. Memory is not shared, so everything is copied.

import { type ChildProcess, fork } from 'node:child_process'
import type { RemotePort } from '../../runtime/worker/port.ts'
import {
  endingMs,
  type HostOptions,
  listNodeFlags,
  locateModule,
  type WorkerEnd,
  type WorkerHost,
  type WorkerTask,
} from './worker-host.ts'

export function startProcess(task: WorkerTask, options: HostOptions): WorkerHost {
  const { heapMb, priority, environment } = options
  const child = fork(locateModule(import.meta.url, 'process-main'), [], {
    serialization: 'advanced', // structured clone
    stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
    env: { ...process.env, ...environment },
    execArgv: [
      ...listNodeFlags(),
      ...(heapMb === undefined ? [] : [`--max-old-space-size=${heapMb}`]),
    ],
  })
  const ended = waitForEnd(child)
  const port = createProcessPort(child)
  child.send({ task, priority })
  return {
    port,
    ended,
    setBusy(isBusy) {
      if (isBusy) child.ref()
      else child.unref()
      if (isBusy) child.channel?.ref()
      else child.channel?.unref()
    },
    async close() {
      child.ref()
      if (child.connected) child.disconnect()
      const timer = setTimeout(() => child.kill('SIGKILL'), endingMs)
      await ended
      clearTimeout(timer)
    },
    async kill() {
      child.kill('SIGKILL')
      await ended
    },
  }
}

function createProcessPort(child: ChildProcess): RemotePort {
  const port: RemotePort = {
    onmessage: null,
    postMessage(message) {
      // A child that has ended receives nothing; its end is reported elsewhere.
      if (child.connected) child.send(message as object, () => {})
    },
  }
  child.on('message', (data) => (port.onmessage as (event: unknown) => void)?.({ data }))
  return port
}

function waitForEnd(child: ChildProcess): Promise<WorkerEnd> {
  return new Promise((resolve) => {
    child.once('error', (error) => resolve({ code: undefined, error, reason: error.message }))
    child.once('exit', (code, signal) => {
      const reason = signal === null ? `exit code ${code}` : `signal ${signal}`
      const end = (): void => resolve({ code: code ?? undefined, error: undefined, reason })
      if (!child.connected) return end()
      // Its last messages may arrive after its end, in particular the reason why it has no object.
      child.once('disconnect', end)
      setTimeout(end, endingMs).unref()
    })
  })
}
