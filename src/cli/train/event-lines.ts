// Training events as lines of JSON, for programs that watch a run (graft train --events): numbers and
// names, without adapters and histories.

import type { TrainEvent } from '../../index.ts'

/** Milliseconds between two lines about steps; the last step always has one. */
const lineMs = 200

export interface LineWriter {
  /** The events, each reported as it passes. */
  tell(events: AsyncIterable<TrainEvent>, about: object): AsyncGenerator<TrainEvent, void>
  /** Its own line. */
  write(line: object): void
}

export function createLineWriter(print: (text: string) => void, now: () => number): LineWriter {
  const write = (line: object): void => print(JSON.stringify(line))
  return {
    write,
    async *tell(events, about) {
      let told = -Infinity
      for await (const event of events) {
        const isPassed =
          event.type === 'step-end' && event.step < event.steps && now() - told < lineMs
        const line = isPassed ? undefined : toLine(event)
        if (line) write(Object.assign(line, about))
        if (event.type === 'step-end' && !isPassed) told = now()
        yield event
      }
    },
  }
}

/** undefined: the end is reported with the expert's summary. */
function toLine(event: TrainEvent): object | undefined {
  if (event.type === 'train-end') return undefined
  const { type, ...rest } = event
  return Object.assign({ type }, rest)
}

/** What a program that watches the run receives about a failure. */
export const describeFailed = (
  { manifest }: { readonly manifest: string | undefined },
  { name, message }: Error,
): object => ({ type: 'failed', manifest, error: { name, message } })
