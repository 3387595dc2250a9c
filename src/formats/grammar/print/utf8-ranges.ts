// Ranges of code points as sequences of byte ranges, by which UTF-8 writes them: the masks' library
// knows only bytes in its classes.

import type { CodeRange } from '../grammar.ts'

/** Bytes from … to, both included. */
export type ByteRange = readonly [from: number, to: number]

// Where the number of bytes changes.
const ends = [0x7f, 0x7ff, 0xffff, 0x10ffff]

const encode = (code: number): number[] => {
  if (code <= 0x7f) return [code]
  if (code <= 0x7ff) return [0xc0 | (code >> 6), 0x80 | (code & 63)]
  if (code <= 0xffff) return [0xe0 | (code >> 12), 0x80 | ((code >> 6) & 63), 0x80 | (code & 63)]
  return [
    0xf0 | (code >> 18),
    0x80 | ((code >> 12) & 63),
    0x80 | ((code >> 6) & 63),
    0x80 | (code & 63),
  ]
}

/**
 * Sequences of byte ranges; a text fits one of them exactly where it is UTF-8 of a code point in the
 * range. Surrogates must not be in it.
 */
export function listUtf8Ranges([from, to]: CodeRange): ByteRange[][] {
  const end = ends.find((last) => from <= last)!
  if (to > end) return [...listUtf8Ranges([from, end]), ...listUtf8Ranges([end + 1, to])]
  // The bytes behind the first one must run over all values wherever an earlier byte changes.
  for (const bits of [6, 12, 18]) {
    const low = (1 << bits) - 1
    if (from >> bits === to >> bits) break
    if ((from & low) !== 0 && encode(from).length > bits / 6)
      return [...listUtf8Ranges([from, from | low]), ...listUtf8Ranges([(from | low) + 1, to])]
    if ((to & low) !== low && encode(to).length > bits / 6)
      return [...listUtf8Ranges([from, (to & ~low) - 1]), ...listUtf8Ranges([to & ~low, to])]
  }
  const last = encode(to)
  return [encode(from).map((byte, i): ByteRange => [byte, last[i]!])]
}
