// What identifies a run: its settings, and hashes of its data, base and start. A run resumes from a
// checkpoint only if all of it is equal.

import { type Mismatch, MismatchError } from '../base/errors.ts'
import { type Tensor, viewBytes } from '../base/tensor.ts'

/**
 * Everything that determines a run apart from its state: settings, hashes of the data and the base.
 * All entries must be equal for a run to resume.
 */
export type Fingerprint = Readonly<Record<string, string | number | boolean>>

/**
 * FNV-1a over 32-bit words in the order of the tensors' names. It detects a file that was
 * truncated, reordered or damaged.
 */
export function computeChecksum(tensors: ReadonlyMap<string, Tensor>): number {
  let hash = 0x811c9dc5
  for (const name of [...tensors.keys()].sort()) {
    const bytes = viewBytes(tensors.get(name)!)
    const words =
      bytes.byteOffset % 4 === 0
        ? new Int32Array(bytes.buffer, bytes.byteOffset, bytes.length >> 2)
        : new Int32Array(bytes.slice().buffer)
    const size = words.length
    for (let i = 0; i < size; i++) hash = Math.imul(hash ^ words[i]!, 0x01000193)
  }
  return hash >>> 0
}

/**
 * Flattens settings to one value each: objects as JSON; undefined values and those of `leftOut` are
 * dropped.
 */
export const flattenSettings = (settings: object, leftOut: readonly string[] = []): Fingerprint =>
  Object.fromEntries(
    Object.entries(settings).flatMap(([name, value]: [string, unknown]) =>
      value === undefined || leftOut.includes(name)
        ? []
        : [[name, typeof value === 'object' ? JSON.stringify(value) : value]],
    ),
  ) as Fingerprint

/**
 * Throws one MismatchError naming everything in which a checkpoint's run differs from the one that
 * resumes from it.
 */
export function checkFingerprint(saved: Fingerprint, wanted: Fingerprint): void {
  const names = [...new Set([...Object.keys(wanted), ...Object.keys(saved)])]
  const shown = (value: string | number | boolean | undefined): string =>
    value === undefined ? 'nothing' : String(value)
  const mismatches: Mismatch[] = names
    .filter((name) => saved[name] !== wanted[name])
    .map((name) => ({
      name,
      got: shown(wanted[name]),
      expected: `${shown(saved[name])} as in the checkpoint`,
    }))
  if (mismatches.length === 0) return
  throw new MismatchError(
    'The run differs from the run of its checkpoint',
    mismatches,
    'Give the same options and data, or train into another folder.',
  )
}
