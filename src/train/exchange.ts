// Messages between the replicas of one data-parallel run. Every replica runs the whole training
// loop on its share of a step's batches; once per step they exchange sums, and all continue with
// the same ones, so that no state is ever sent. Independent of the transport.

import { WorkerError } from '../base/errors.ts'

/** The contribution of one replica to a step. */
export interface Contribution {
  /** The current step, which must be the same for all. */
  readonly step: number
  /** Passed to every replica unchanged: losses of batches, outputs. */
  readonly note: Uint8Array
  /**
   * Values to be summed, of the same length for all replicas; undefined is skipped. The exchange
   * owns the array from here on.
   */
  readonly values: Float32Array | undefined
  /** Whether this replica was asked to stop after the step. */
  readonly stop?: boolean
}

/** What every replica receives. */
export interface Meeting {
  /** By rank. */
  readonly notes: readonly Uint8Array[]
  /** The sums, the replica's own to change; undefined if no replica brought values. */
  readonly sums: Float32Array | undefined
  /**
   * Whether any replica or the exchange was asked to stop: then all replicas stop after the same
   * step.
   */
  readonly stop: boolean
}

/** A replica's connection to the others. */
export interface Exchange {
  /** Counted from 0; replica 0 alone writes checkpoints and the adapter. */
  readonly rank: number
  /** A power of two. */
  readonly size: number
  /**
   * Values in addition to the run that must be equal on all replicas, such as the program's
   * version.
   */
  readonly about?: Readonly<Record<string, string>>
  /** Waits for all replicas. Rejects if one has ended or is at another step. */
  meet(contribution: Contribution): Promise<Meeting>
}

/**
 * Adds up parts by a binary tree over their places: first neighbours, then the sums of neighbours.
 * The result is in the first part that is present; missing parts are skipped. Over 2ⁿ places any
 * aligned half, quarter … of them is a subtree, which is why the sum has the same bits however many
 * replicas hold the places. Changes `parts`.
 */
export function sumByTree<Part>(
  parts: (Part | undefined)[],
  add: (into: Part, other: Part) => Part,
): Part | undefined {
  for (let width = 1; width < parts.length; width *= 2)
    for (let at = 0; at + width < parts.length; at += 2 * width) {
      const left = parts[at]
      const right = parts[at + width]
      parts[at] = left === undefined || right === undefined ? (left ?? right) : add(left, right)
    }
  return parts[0]
}

/** into += other, element by element in f32. */
export function addValues(into: Float32Array, other: Float32Array): Float32Array {
  for (let i = 0, { length } = into; i < length; i++) into[i]! += other[i]!
  return into
}

/**
 * The meeting of these contributions, by rank. Throws WorkerError if they are of different steps or
 * lengths. Changes the contributions' values.
 */
export function mergeContributions(all: readonly Contribution[]): Meeting {
  const [first] = all as [Contribution]
  const length = all.find(({ values }) => values)?.values?.length
  for (const [rank, { step, values }] of all.entries()) {
    if (step !== first.step)
      throw new WorkerError(
        `Replica ${rank} is at step ${step}, expected step ${first.step}, where replica 0 is.`,
      )
    if (values && values.length !== length)
      throw new WorkerError(
        `Replica ${rank} sent ${values.length} values for step ${step}, expected ${length}.`,
      )
  }
  const sums = sumByTree(
    all.map(({ values }) => values),
    addValues,
  )
  return { notes: all.map(({ note }) => note), sums, stop: all.some(({ stop }) => stop) }
}

/** Exchanges for replicas within one process, instead of several processes. */
export function createLocalExchanges(size: number): Exchange[] {
  interface Waiting {
    readonly contribution: Contribution
    readonly resolve: (meeting: Meeting) => void
    readonly reject: (error: unknown) => void
  }
  let waiting = new Map<number, Waiting>()
  const settle = (all: readonly Waiting[]): void => {
    try {
      const { notes, sums, stop } = mergeContributions(all.map(({ contribution }) => contribution))
      for (const { resolve } of all) resolve({ notes, sums: sums?.slice(), stop })
    } catch (error) {
      for (const { reject } of all) reject(error)
    }
  }
  return Array.from({ length: size }, (_, rank) => ({
    rank,
    size,
    meet(contribution) {
      const { promise, resolve, reject } = Promise.withResolvers<Meeting>()
      waiting.set(rank, { contribution, resolve, reject })
      if (waiting.size === size) {
        const all = Array.from({ length: size }, (_one, at) => waiting.get(at)!)
        waiting = new Map()
        settle(all)
      }
      return promise
    },
  }))
}
