// A byte source over bytes that are in memory already.

import { FormatError } from '../base/errors.ts'
import type { ByteSource } from './byte-source.ts'

/**
 * A source that hands out views of `bytes`, never copies. Reading beyond the end throws
 * FormatError.
 */
export function createMemorySource(name: string, bytes: Uint8Array): ByteSource {
  return {
    name,
    sizeBytes: bytes.length,
    read: async (offset, length) => {
      if (!(offset >= 0 && length >= 0 && offset + length <= bytes.length)) {
        throw new FormatError(
          `${name}: cannot read ${length} bytes at offset ${offset}: the file has ${bytes.length} bytes.`,
        )
      }
      return bytes.subarray(offset, offset + length)
    },
  }
}
