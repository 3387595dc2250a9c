// The first exchange of a run's replicas: checks that all run the same from the same state.

import { type Mismatch, FormatError, MismatchError, OptionError } from '../../base/errors.ts'
import { isRecord } from '../../base/schema.ts'
import type { Tensor } from '../../base/tensor.ts'
import { computeChecksum, type Fingerprint } from '../fingerprint.ts'
import type { ReplicaGroup } from './replica-group.ts'

const isPowerOfTwo = (value: number): boolean => Number.isInteger(Math.log2(value))

/** Throws OptionError if these shards cannot be distributed evenly over the replicas. */
export function checkReplicaCount(shards: number, size: number): void {
  if (!isPowerOfTwo(size)) throw new OptionError(`replicas: got ${size}, expected a power of two.`)
  if (size > shards)
    throw new OptionError(
      `${size} replicas cannot share ${shards === 1 ? 'one shard' : `${shards} shards`}: give shards ${size} or more, with accumulation as large, or fewer replicas.`,
    )
}

function readFacts(note: Uint8Array, rank: number): Record<string, unknown> {
  try {
    const facts: unknown = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(note))
    if (isRecord(facts)) return facts
  } catch {
    // reported below
  }
  throw new FormatError(`Replica ${rank} did not send the description of its run first.`)
}

const describe = (value: unknown): string => (value === undefined ? 'nothing' : String(value))

/** The differences between a replica and replica 0. */
function findDifferences(
  expected: Readonly<Record<string, unknown>>,
  got: Readonly<Record<string, unknown>>,
): Mismatch[] {
  const names = [...new Set([...Object.keys(expected), ...Object.keys(got)])]
  return names
    .filter((name) => expected[name] !== got[name])
    .map((name) => ({
      name,
      got: describe(got[name]),
      expected: `${describe(expected[name])} as replica 0 has`,
    }))
}

/**
 * Meets the others before the first step. Throws MismatchError, on every replica alike, that names
 * everything in which one differs: the program's version, settings, data, base, the step and the
 * weights that it continues from.
 */
export async function agreeOnRun(
  group: ReplicaGroup,
  about: Fingerprint,
  { step, parameters }: { step: number; parameters: ReadonlyMap<string, Tensor> },
): Promise<void> {
  if (group.size === 1) return
  const more = { size: group.size, step, weights: computeChecksum(parameters) }
  // each replica has its own clock, and the date's effect is in the data's hash
  const own = Object.assign({}, about, more, { date: undefined })
  const note = new TextEncoder().encode(JSON.stringify(own))
  const { notes } = await group.meet({ step: 0, note, values: undefined })
  const [first, ...others] = notes.map(readFacts) as [Record<string, unknown>]
  for (const [i, facts] of others.entries()) {
    const mismatches = findDifferences(first, facts)
    if (mismatches.length > 0)
      throw new MismatchError(
        `Replica ${i + 1} would run something else than replica 0`,
        mismatches,
        'Give every replica the same options, data, base and version of Graft, and one folder for checkpoints.',
      )
  }
}
