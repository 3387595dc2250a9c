// Events of a replica as lines of JSON, without tensors, and back: the output of its process on
// stdout. Adapters are read from the run's folder, where replica 0 has written them.

import { join } from 'node:path'
import { isRecord } from '../../base/schema.ts'
import type { TrainEvent } from '../../train/events.ts'
import { loadEwcState } from '../../train/ewc/state.ts'
import { loadAdapter } from '../adapters.ts'
import { openDirectory } from '../files/folder.ts'
import { checkpointFolder } from '../run-folder.ts'

type TrainEnd = Extract<TrainEvent, { type: 'train-end' }>
type Ready = Extract<TrainEvent, { type: 'data-ready' }>

/** A failure of the run itself: options, data, a loss that diverged. */
export interface FailedEvent {
  readonly type: 'failed'
  readonly name: string
  readonly message: string
}

/** The end of a run without adapters. */
interface PlainEnd {
  readonly type: 'train-end'
  readonly reason: TrainEnd['reason']
  readonly best: { readonly step: number; readonly loss: number | null }
  readonly last: { readonly step: number; readonly loss: number | null }
  readonly history: TrainEnd['history']
  readonly hasEwc: boolean
}

export type ReplicaEvent = Exclude<TrainEvent, TrainEnd> | PlainEnd | FailedEvent

/** One line, without its end. */
export function formatEvent(event: TrainEvent | FailedEvent): string {
  if (event.type !== 'train-end') return JSON.stringify(event)
  const { type, reason, best, last, history, ewc } = event
  const plain: PlainEnd = {
    type,
    reason,
    best: { step: best.step, loss: best.loss },
    last: { step: last.step, loss: last.loss },
    history,
    hasEwc: ewc !== undefined,
  }
  return JSON.stringify(plain)
}

/** The event of a line; undefined for any other line, such as a library's output. */
export function parseEvent(line: string): ReplicaEvent | undefined {
  if (!line.startsWith('{')) return undefined
  try {
    const value: unknown = JSON.parse(line)
    if (!isRecord(value) || typeof value['type'] !== 'string') return undefined
    const event = value as unknown as ReplicaEvent
    return event.type === 'data-ready' ? restoreReady(event) : event
  } catch {
    return undefined
  }
}

function restoreReady(event: Ready): Ready {
  const { checkpointDate } = event
  return checkpointDate === undefined
    ? event
    : { ...event, checkpointDate: new Date(checkpointDate) }
}

/** The end of a run with the adapters in its folder. */
export async function readTrainEnd(
  { type, reason, best, last, history, hasEwc }: PlainEnd,
  out: string,
): Promise<TrainEnd> {
  const read = (name: string) => loadAdapter(join(out, checkpointFolder, name))
  const bestAdapter = await read('best')
  const lastAdapter = await read('last')
  const ewc = hasEwc ? await loadEwcState(await openDirectory(out)) : undefined
  return {
    type,
    reason,
    history,
    adapter: bestAdapter,
    best: { step: best.step, loss: best.loss ?? NaN, adapter: bestAdapter },
    last: { step: last.step, loss: last.loss ?? NaN, adapter: lastAdapter },
    ...(ewc && { ewc }),
  }
}
