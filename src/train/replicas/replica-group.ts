// The training loop's interface to a run's replicas: how many shards a step has, which of them
// belong to this replica, and a request to stop, which all replicas follow after the same step.
// Without replicas, a run is a group of one.

import type { Contribution, Exchange, Meeting } from '../exchange.ts'
import { decodeNote, encodeNote, type MeasuredBatch } from './note.ts'

export interface ReplicaGroup {
  readonly rank: number
  readonly size: number
  /** Parts that a step is cut into: batch i belongs to shard i mod shards. */
  readonly shards: number
  /** Whether the run ends before the next step. */
  isStopped(): boolean
  /** Exchanges with the others; a group of one gets back its own contribution. */
  meet(contribution: Omit<Contribution, 'stop'>): Promise<Meeting>
}

export interface ReplicaGroupOptions {
  readonly shards: number
  readonly exchange?: Exchange | undefined
  readonly signal?: AbortSignal | undefined
}

export function createReplicaGroup({
  shards,
  exchange,
  signal,
}: ReplicaGroupOptions): ReplicaGroup {
  const isAborted = (): boolean => signal?.aborted === true
  if (!exchange)
    return {
      rank: 0,
      size: 1,
      shards,
      isStopped: isAborted,
      meet: async ({ note, values }) => ({ notes: [note], sums: values, stop: isAborted() }),
    }
  const { rank, size } = exchange
  let isStopped = false
  return {
    rank,
    size,
    shards,
    // one replica must not stop by its own signal, because the others would wait for it
    isStopped: () => isStopped,
    async meet(contribution) {
      const meeting = await exchange.meet({ ...contribution, stop: isAborted() })
      isStopped ||= meeting.stop
      return meeting
    },
  }
}

/** This replica's indices out of `count` if nothing is summed: every size-th. */
export const listOwnPlaces = (
  { rank, size }: Pick<ReplicaGroup, 'rank' | 'size'>,
  count: number,
): number[] => Array.from({ length: count }, (_, i) => i).filter((i) => i % size === rank)

/** The measurements of all replicas, in the order of batches. */
export async function shareMeasures(
  group: ReplicaGroup,
  step: number,
  own: readonly MeasuredBatch[],
  values?: Float32Array,
): Promise<{ batches: readonly MeasuredBatch[]; sums: Float32Array | undefined }> {
  if (group.size === 1) return { batches: own, sums: values }
  const { notes, sums } = await group.meet({ step, note: encodeNote(own), values })
  const decoded = await Promise.all(notes.map(decodeNote))
  return { batches: decoded.flat().sort((a, b) => a.index - b.index), sums }
}
