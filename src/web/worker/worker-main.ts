// The module that an engine's worker runs. Bundlers find it by the URL in open-engine-worker.ts.

import { decodeValue } from '../../runtime/worker/encode-value.ts'
import { exposeFailure, exposeObject } from '../../runtime/worker/expose-object.ts'
import { openTask, type WebEngineTask } from './engine-object.ts'
import type { OpeningMessage, OpenMessage } from './worker-messages.ts'

const report = (message: OpeningMessage): void => globalThis.postMessage(message, {})

async function open({ task, port, learnerPort }: OpenMessage): Promise<void> {
  try {
    const opened = await openTask(decodeValue(task) as WebEngineTask, {
      onProgress: (progress) => report({ type: 'graft-progress', progress }),
      onNote: (note) => report({ type: 'graft-note', note }),
    })
    if (learnerPort && opened.learner) exposeObject(learnerPort, opened.learner)
    exposeObject(port, opened.engine, { close: () => opened.close() })
  } catch (error) {
    exposeFailure(port, error)
  }
}

globalThis.addEventListener('message', ({ data }: MessageEvent<Partial<OpenMessage>>) => {
  if (data?.type === 'graft-open') void open(data as OpenMessage)
})
