// The classes of regular expressions as ranges of code points.

import { type CodeRange, invertRanges } from '../grammar.ts'

export const DIGITS: readonly CodeRange[] = [[0x30, 0x39]]

export const WORD: readonly CodeRange[] = [
  [0x30, 0x39],
  [0x41, 0x5a],
  [0x5f, 0x5f],
  [0x61, 0x7a],
]

export const SPACES: readonly CodeRange[] = [
  [0x09, 0x0d],
  [0x20, 0x20],
  [0xa0, 0xa0],
  [0x1680, 0x1680],
  [0x2000, 0x200a],
  [0x2028, 0x2029],
  [0x202f, 0x202f],
  [0x205f, 0x205f],
  [0x3000, 0x3000],
  [0xfeff, 0xfeff],
]

/** What `.` does not match. */
export const LINE_ENDS: readonly CodeRange[] = [
  [0x0a, 0x0a],
  [0x0d, 0x0d],
  [0x2028, 0x2029],
]

/** \d, \w, \s and their opposites. */
export const letterClasses: Readonly<Record<string, readonly CodeRange[]>> = {
  d: DIGITS,
  D: invertRanges(DIGITS),
  w: WORD,
  W: invertRanges(WORD),
  s: SPACES,
  S: invertRanges(SPACES),
}

const known = new Map<string, readonly CodeRange[]>()

/** The code points of \p{name}; undefined if Unicode has no such property. */
export function findProperty(name: string): readonly CodeRange[] | undefined {
  const before = known.get(name)
  if (before) return before
  let property: RegExp
  try {
    property = new RegExp(`^\\p{${name}}$`, 'u')
  } catch {
    return undefined
  }
  const ranges: [number, number][] = []
  for (let code = 0; code <= 0x10ffff; code++) {
    if (code >= 0xd800 && code <= 0xdfff) continue
    if (!property.test(String.fromCodePoint(code))) continue
    const last = ranges.at(-1)
    if (last?.[1] === code - 1) last[1] = code
    else ranges.push([code, code])
  }
  known.set(name, ranges)
  return ranges
}
