// The rule of every binary reader (a value or a clear error, no allocation beyond the file's size),
// and helpers to test it: ways to damage a file.

import fc from 'fast-check'
import { expect } from 'vitest'
import { GraftError } from '../base/errors.ts'
import { joinBytes } from '../base/concat.ts'
import type { ByteFolder, ByteSource } from './byte-source.ts'
import { createMemorySource } from './memory-source.ts'

/** A source that records the lengths it was asked for and whether it was closed. */
export function watchedSource(
  bytes: Uint8Array,
  name = 'watched',
): ByteSource & { readonly lengths: number[]; closed: boolean } {
  const source = createMemorySource(name, bytes)
  const watched = {
    ...source,
    lengths: [] as number[],
    closed: false,
    read: (offset: number, length: number) => {
      watched.lengths.push(length)
      return source.read(offset, length)
    },
    close: async () => void (watched.closed = true),
  }
  return watched
}

/** A folder of files in memory. */
export function memoryFolder(files: Readonly<Record<string, Uint8Array | string>>): ByteFolder {
  return {
    name: 'folder',
    open: async (path) => {
      const content = files[path]
      if (content === undefined) return undefined
      return createMemorySource(
        `folder/${path}`,
        typeof content === 'string' ? new TextEncoder().encode(content) : content,
      )
    },
  }
}

/**
 * Damaged copies of a file: cut short, bytes changed, a piece replaced, a piece removed, a length
 * field overwritten.
 */
export function damaged(file: Uint8Array): fc.Arbitrary<Uint8Array> {
  // headers are worth more tries
  const position = fc.oneof(fc.nat(file.length - 1), fc.nat(Math.min(200, file.length - 1)))
  const edit = (change: (bytes: Uint8Array) => void): Uint8Array => {
    const bytes = file.slice()
    change(bytes)
    return bytes
  }
  const length = fc.oneof(
    fc.bigInt(0n, 2n ** 64n - 1n),
    fc.bigInt(0n, 300n),
    fc.constantFrom(2n ** 31n, 2n ** 32n, 2n ** 53n, 2n ** 63n),
  )
  return fc.oneof(
    position.map((end) => file.slice(0, end)),
    fc
      .array(fc.tuple(position, fc.nat(255)), { minLength: 1, maxLength: 4 })
      .map((edits) => edit((bytes) => edits.forEach(([at, value]) => (bytes[at] = value)))),
    fc
      .tuple(position, fc.uint8Array({ maxLength: 40 }))
      .map(([at, piece]) => edit((bytes) => bytes.set(piece.subarray(0, bytes.length - at), at))),
    fc
      .tuple(position, fc.integer({ min: 1, max: 40 }))
      .map(([at, count]) => joinBytes([file.subarray(0, at), file.subarray(at + count)])),
    fc.tuple(position, length).map(([at, value]) =>
      edit((bytes) => {
        if (at + 8 <= bytes.length) new DataView(bytes.buffer).setBigUint64(at, value, true)
      }),
    ),
  )
}

/**
 * Reads the file wholly: it must end in a value or in a GraftError, within ten seconds, asking the
 * source for no piece longer than the file and for at most three times the file in all (header
 * windows, then every tensor once).
 */
export async function readsOrRefuses(
  bytes: Uint8Array,
  readAll: (source: ByteSource) => Promise<void>,
): Promise<void> {
  const source = watchedSource(bytes)
  const started = performance.now()
  try {
    await readAll(source)
  } catch (error) {
    if (!GraftError.isInstance(error)) throw error
    expect(error.message.length).toBeLessThan(4000)
  }
  expect(performance.now() - started).toBeLessThan(10_000)
  for (const length of source.lengths) expect(length).toBeLessThanOrEqual(bytes.length)
  expect(source.lengths.reduce((sum, length) => sum + length, 0)).toBeLessThanOrEqual(
    3 * bytes.length,
  )
}
