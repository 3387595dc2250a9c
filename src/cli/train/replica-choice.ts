// Decides from --replicas and a replica's number whether the process trains alone, starts replicas,
// or is one of them.

import { fileURLToPath } from 'node:url'
import { listNodeFlags, locateModule } from '../../node/worker/worker-host.ts'
import { readReplicaPlace, type ReplicaPlace } from '../../node/replicas/replica-place.ts'
import { type Context, UsageError } from '../command.ts'
import type { TrainOptionTable, TrainValues } from './train-option-table.ts'

export interface ReplicaChoice {
  readonly values: TrainValues
  /** This process's own place, where it is a replica. */
  readonly place?: ReplicaPlace
  /** What each replica runs, where this process is in charge of them. */
  readonly command?: readonly [string, ...string[]]
}

const isPowerOfTwo = (value: number): boolean => Number.isInteger(Math.log2(value))

/** Throws UsageError for an invalid count, or arguments that exclude --replicas. */
export function checkReplicas(values: TrainValues, positionals: readonly string[]): void {
  const { replicas = 1, plan } = values
  if (!isPowerOfTwo(replicas))
    throw new UsageError(`--replicas: got ${replicas}, expected a power of two: 1, 2, 4, 8 ….`)
  if (replicas === 1) return
  if (positionals.length > 1)
    throw new UsageError(
      '--replicas is for one expert; name one training manifest. Several are trained one after another, each by one process.',
    )
  if (plan)
    throw new UsageError(
      '--plan works only for one process; leave out --replicas. Each replica needs that much memory.',
    )
}

/** Reads the choice. Throws UsageError or OptionError for an invalid one. */
export function readReplicaChoice({
  values,
  positionals,
  args,
  environment,
}: Pick<
  Context<TrainOptionTable>,
  'values' | 'positionals' | 'args' | 'environment'
>): ReplicaChoice {
  checkReplicas(values, positionals)
  const place = readReplicaPlace(environment)
  if (place) return { values: toReplicaValues(values, place), place }
  if ((values.replicas ?? 1) === 1) return { values }
  const main = fileURLToPath(locateModule(new URL('../main.ts', import.meta.url).href, 'main'))
  const own = args.filter((arg) => arg !== '--json' && arg !== '--events')
  return { values, command: [process.execPath, ...listNodeFlags(), main, 'train', ...own] }
}

/**
 * The process that starts replicas has checked the folder, and the first replica may already write
 * to it.
 */
function toReplicaValues(values: TrainValues, place: ReplicaPlace): TrainValues {
  const { replicas = place.size } = values
  if (replicas !== place.size)
    throw new UsageError(
      `--replicas is ${replicas}, and this process is one replica of ${place.size}.`,
    )
  const isChecked = place.rank > 0 || place.attempt > 1
  return { ...values, replicas, ...(isChecked && { overwrite: !values.resume }) }
}
