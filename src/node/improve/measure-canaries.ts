// Checks that a new version does not get worse on the canary rows: compares its mean loss on them
// with that of the previous version.

import type { Adapter } from '../../adapters/adapter.ts'
import { evaluate, metrics } from '../../eval/index.ts'
import type { Model } from '../../runtime/index.ts'
import { readDataFile } from '../data.ts'

/** A loss may be this much higher, as for the canaries of a learner. */
const bound = 0.01

export interface CanaryReport {
  readonly rows: number
  /** In nats per token. */
  readonly before: number
  readonly after: number
  readonly isKept: boolean
}

/** Throws what reading the file throws. */
export async function measureCanaries(
  path: string,
  model: Model,
  { before, after }: { readonly before: Adapter; readonly after: Adapter },
): Promise<CanaryReport> {
  const data = await readDataFile(path)
  const { rows, losses } = await evaluate({
    model,
    data,
    metrics: [metrics.get('perplexity')!],
    candidates: [
      { name: 'before', adapter: before },
      { name: 'after', adapter: after },
    ],
  })
  const [first, second] = losses.map(({ loss }) => loss) as [number, number]
  return { rows, before: first, after: second, isKept: second <= first * (1 + bound) }
}

export const describeCanaries = ({ rows, before, after }: CanaryReport): string =>
  `${rows} canaries: ${before.toFixed(3)} nats per token before, ${after.toFixed(3)} after`
