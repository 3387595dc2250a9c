// Shows training on a cluster: one bar over all experts, a line for each that ends or fails, and what
// was lost and tried again.

import { basename } from 'node:path'
import { isRecord } from '../../base/schema.ts'
import { describePath } from '../shared/describe-path.ts'
import type { Progress } from '../ui/progress.ts'
import type { Terminal } from '../ui/terminal.ts'

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
  step: number
  steps: number
}

const readText = (value: unknown): string => (typeof value === 'string' ? value : '')

/** `asLines`: every event is a line of JSON, and nothing else is said. */
export function createRayView(
  terminal: Terminal,
  /** By their whole paths. */
  manifests: readonly string[],
  asLines: boolean,
): RayView {
  const runs = new Map<string, RunState>()
  const results = new Map<string, RayResult>()
  let progress: Progress | undefined
  const say = (line: string): void => {
    progress?.end(undefined)
    progress = undefined
    terminal.say(line)
  }
  const finish = (manifest: string, result: Omit<RayResult, 'manifest'>): void => {
    results.set(manifest, Object.assign({ manifest }, result) as RayResult)
  }
  const showStep = (manifest: string, { step, steps, loss }: ClusterEvent): void => {
    runs.set(manifest, { step: Number(step), steps: Number(steps) })
    const all = [...runs.values()]
    const total = all.reduce((sum, one) => sum + one.steps, 0)
    progress ??= terminal.progress('  training', total)
    const ended = `${results.size} of ${manifests.length} ended`
    progress.update(
      all.reduce((sum, one) => sum + one.step, 0),
      `${basename(manifest)} step ${Number(step)}/${Number(steps)}  loss ${Number(loss).toFixed(3)}  ${ended}`,
    )
  }
  const showFailure = (manifest: string, message: string): void => {
    finish(manifest, { reason: 'failed', error: message })
    if (asLines) return
    progress?.end(undefined)
    progress = undefined
    terminal.note(`graft: ${message.includes(manifest) ? '' : `${manifest}: `}${message}`)
  }
  const takeEnd = (event: ClusterEvent): void => {
    const manifest = readText(event['manifest'])
    const { type: _type, history: _history, ...summary } = event
    finish(manifest, Object.assign({ reason: 'finished' }, summary))
    const last = isRecord(event['last']) ? event['last'] : {}
    const where = describePath(readText(event['out']))
    if (!asLines)
      say(
        `${where}: ${readText(event['reason'])} after step ${Number(last['step'])}, loss ${Number(last['loss']).toFixed(3)}`,
      )
  }
  const only = manifests.length === 1 ? manifests[0] : undefined
  return {
    fail: (manifest, { message }) => showFailure(manifest, message),
    take(event) {
      if (asLines) terminal.print(JSON.stringify(event))
      const manifest = readText(event['manifest']) || (only ?? '')
      switch (event['type']) {
        case 'step-end':
          if (!asLines) showStep(manifest, event)
          return
        case 'expert-end':
        case 'train-end': // of a replica
          return takeEnd(Object.assign({}, event, { manifest }))
        case 'failed': {
          const error = isRecord(event['error']) ? event['error'] : event
          return showFailure(manifest, readText(error['message']))
        }
        case 'worker-lost':
          if (!asLines)
            say(`  a worker was lost and its runs go on elsewhere: ${readText(event['error'])}`)
      }
    },
    end() {
      progress?.end(undefined)
      return manifests.map((manifest) => results.get(manifest) ?? { manifest, reason: 'stopped' })
    },
  }
}
