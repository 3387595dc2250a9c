// What tests of replicas share: a run over several replicas within this process, and its weights as
// one hash.

import { createHash } from 'node:crypto'
import type { Adapter } from '../../src/adapters/adapter.ts'
import { WorkerError } from '../../src/base/errors.ts'
import { viewBytes } from '../../src/base/tensor.ts'
import { createLocalExchanges, type Exchange } from '../../src/train/exchange.ts'
import type { TrainEvent } from '../../src/train/events.ts'
import type { TrainOptions } from '../../src/train/options/options.ts'

export function hashAdapter({ tensors }: Pick<Adapter, 'tensors'>): string {
  const hash = createHash('sha256')
  for (const [key, tensor] of [...tensors].toSorted(([a], [b]) => (a < b ? -1 : 1)))
    hash.update(key).update(viewBytes(tensor))
  return hash.digest('hex')
}

/** A sink that keeps nothing: what replicas beside the first write into. */
export const nowhere = { name: 'nowhere', write: async (): Promise<void> => undefined }

/** Throws at its meeting number `at`, counted from 1, and at all later ones. */
export function breakAt(exchange: Exchange, at: number): Exchange {
  let met = 0
  return {
    ...exchange,
    meet: async (contribution) => {
      if (++met >= at) throw new WorkerError('This replica was killed.')
      return exchange.meet(contribution)
    },
  }
}

export type RunReplica = (options: TrainOptions, rank: number) => Promise<TrainEvent[]>

/**
 * The events of each replica of one run. Only the first writes checkpoints; all go on from the same
 * ones. `breaksAt`: the meeting before which all of them are gone.
 */
export async function runReplicas(
  size: number,
  options: TrainOptions,
  run: RunReplica,
  { breaksAt }: { readonly breaksAt?: number } = {},
): Promise<TrainEvent[][]> {
  const { checkpoint } = options
  const exchanges = createLocalExchanges(size).map((exchange) =>
    breaksAt === undefined ? exchange : breakAt(exchange, breaksAt),
  )
  return Promise.all(
    exchanges.map((exchange, rank) => {
      const own = checkpoint && rank > 0 ? { ...checkpoint, sink: nowhere } : checkpoint
      return run({ ...options, exchange, ...(own && { checkpoint: own }) }, rank)
    }),
  )
}
