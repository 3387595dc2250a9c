// The beginning of a worker thread. Started by thread-host.ts.

import { type MessagePort, parentPort, workerData } from 'node:worker_threads'
import { runWorkerTask } from './run-worker-task.ts'
import type { WorkerTask } from './worker-host.ts'

const { task, port, parked } = workerData as {
  readonly task: WorkerTask
  readonly port: MessagePort
  readonly parked: Int32Array
}

// The process is ending: stop outside of any run, where a thread can be ended.
parentPort!.on('message', () => {
  Atomics.store(parked, 0, 1)
  Atomics.notify(parked, 0)
  Atomics.wait(parked, 0, 1)
})
parentPort!.unref()

await runWorkerTask(task, port)
