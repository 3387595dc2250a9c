// Shows training on a cluster: one bar over all experts, a line for each that ends or fails, and
// for each lost worker.

import { basename } from 'node:path'
import { isRecord } from '../../base/schema.ts'
import { describePath } from '../shared/describe-path.ts'
import type { Progress } from '../ui/progress.ts'
import type { Terminal } from '../ui/terminal.ts'
import { describeFailed } from './event-lines.ts'

type ClusterEvent = Readonly<Record<string, unknown>>

export interface RayResult {
  readonly manifest: string
  readonly reason: string
  readonly [key: string]: unknown
}

export interface RayView {
  take(event: ClusterEvent): void
  fail(manifest: string, error: Error): void
  /** A result for each manifest, in the order in which they were given. */
  end(): readonly RayResult[]
}

interface RunState {
  readonly step: number
  readonly steps: number
}

const readText = (value: unknown): string => (typeof value === 'string' ? value : '')

/** `asLines`: every event is a line of JSON, and nothing else is printed. */
export function createRayView(
  terminal: Terminal,
  /** By their whole paths. */
  manifests: readonly string[],
  asLines: boolean,
): RayView {
  const screen = asLines ? undefined : createRayScreen(terminal, manifests.length)
  const results = new Map<string, RayResult>()
  const finish = (manifest: string, result: Omit<RayResult, 'manifest'>): void => {
    results.set(manifest, Object.assign({ manifest }, result) as RayResult)
    screen?.countEnd()
  }
  const fail = (manifest: string, message: string): void => {
    finish(manifest, { reason: 'failed', error: message })
    screen?.note(`graft: ${message.includes(manifest) ? '' : `${manifest}: `}${message}`)
  }
  const takeEnd = (manifest: string, event: ClusterEvent): void => {
    const { type: _type, history: _history, ...summary } = event
    finish(manifest, Object.assign({ reason: 'finished' }, summary))
    const last = isRecord(event['last']) ? event['last'] : {}
    const where = describePath(readText(event['out']) || manifest)
    screen?.say(
      `${where}: ${readText(event['reason'])} after step ${Number(last['step'])}, loss ${Number(last['loss']).toFixed(3)}`,
    )
  }
  return {
    fail(manifest, error) {
      if (asLines) terminal.print(JSON.stringify(describeFailed({ manifest }, error)))
      fail(manifest, error.message)
    },
    take(event) {
      if (asLines) terminal.print(JSON.stringify(event))
      const manifest = readText(event['manifest']) || manifests[0]!
      const { type } = event
      if (type === 'step-end') screen?.showStep(manifest, event)
      else if (type === 'expert-end' || type === 'train-end') takeEnd(manifest, event)
      else if (type === 'failed') {
        const error = isRecord(event['error']) ? event['error'] : event
        fail(manifest, readText(error['message']))
      } else if (type === 'worker-lost')
        screen?.say(
          `  a worker was lost and its runs continue elsewhere: ${readText(event['error'])}`,
        )
    },
    end() {
      screen?.close()
      return manifests.map((manifest) => results.get(manifest) ?? { manifest, reason: 'stopped' })
    },
  }
}

/** One bar over all runs; it gives way to lines. */
function createRayScreen(terminal: Terminal, count: number) {
  const runs = new Map<string, RunState>()
  let ended = 0
  let progress: Progress | undefined
  const close = (): void => {
    progress?.end(undefined)
    progress = undefined
  }
  return {
    close,
    countEnd: () => void ended++,
    say(line: string) {
      close()
      terminal.say(line)
    },
    note(line: string) {
      close()
      terminal.note(line)
    },
    showStep(manifest: string, { step, steps, loss }: ClusterEvent) {
      runs.set(manifest, { step: Number(step), steps: Number(steps) })
      const all = [...runs.values()]
      progress ??= terminal.progress(
        '  training',
        all.reduce((sum, one) => sum + one.steps, 0),
      )
      progress.update(
        all.reduce((sum, one) => sum + one.step, 0),
        `${basename(manifest)} step ${Number(step)}/${Number(steps)}  loss ${Number(loss).toFixed(3)}  ${ended} of ${count} ended`,
      )
    },
  }
}
