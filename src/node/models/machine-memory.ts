// How much memory this machine has, and how much of it is free; a container's limit counts where it
// is lower. A model that does not fit is refused with both numbers, before the system would end the
// process.

import { freemem, totalmem } from 'node:os'
import { OptionError, UnsupportedError } from '../../base/errors.ts'
import { joinProblems, number } from '../../base/schema.ts'
import type { Environment } from './cache.ts'

export interface MachineMemory {
  readonly totalBytes: number
  /** Bytes that can be allocated without swapping; caches of files count as free. */
  readonly freeBytes: number
}

const gigabytesField = number({ above: 0 })

/**
 * The machine's memory, or GRAFT_MEMORY_GB of it. Throws OptionError if that is not a number above
 * 0.
 */
export function readMachineMemory(environment: Environment = process.env): MachineMemory {
  const asked = environment['GRAFT_MEMORY_GB']
  if (asked) {
    const problems = gigabytesField.findProblems(Number(asked), 'GRAFT_MEMORY_GB')
    if (problems.length > 0) throw new OptionError(joinProblems(problems))
    const bytes = Number(asked) * 1e9
    return { totalBytes: bytes, freeBytes: Math.min(bytes, freemem()) }
  }
  const limit = process.constrainedMemory()
  const totalBytes = limit > 0 ? Math.min(limit, totalmem()) : totalmem()
  return { totalBytes, freeBytes: Math.min(totalBytes, freemem()) }
}

const format = (bytes: number): string => `${(bytes / 1e9).toFixed(1)} GB`

/**
 * Throws UnsupportedError if fewer than `neededBytes` are free for this process. `what` begins the
 * message, `advice` ends it.
 */
export function checkMemory(
  what: string,
  neededBytes: number,
  advice: string,
  environment: Environment = process.env,
): void {
  const { totalBytes, freeBytes } = readMachineMemory(environment)
  const heldBytes = process.memoryUsage.rss()
  if (neededBytes <= Math.min(totalBytes, freeBytes + heldBytes)) return
  throw new UnsupportedError(
    `${what}: needs ${format(neededBytes)} of memory, ${format(freeBytes)} of ${format(totalBytes)} are free. ${advice}`,
  )
}
