// The beginning of a worker process. Started by process-host.ts.

import type { RemotePort } from '../../runtime/worker/port.ts'
import { runWorkerTask } from './run-worker-task.ts'
import { setOwnPriority } from './own-priority.ts'
import type { WorkerTask } from './worker-host.ts'

interface Start {
  readonly task: WorkerTask
  readonly priority: number | undefined
}

/** Keeps messages until there is a listener, as a MessagePort does. */
function createParentPort(): RemotePort {
  const early: unknown[] = []
  let listener: ((event: unknown) => void) | undefined
  process.on('message', (data) => (listener ? listener({ data }) : void early.push(data)))
  return {
    postMessage: (message) => void process.send?.(message, undefined, undefined, () => {}),
    set onmessage(next: ((event: never) => void) | null) {
      listener = (next ?? undefined) as typeof listener
      for (const data of early.splice(0)) listener?.({ data })
    },
  }
}

process.once('message', ({ task, priority }: Start) => {
  if (priority !== undefined) setOwnPriority(priority)
  void runWorkerTask(task, createParentPort())
})
// Ctrl-C and a service stop reach all processes of a group; the parent decides what ends.
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => {})
// The parent has ended.
process.once('disconnect', () => process.exit())
