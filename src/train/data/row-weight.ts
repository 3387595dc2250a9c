// How much a row counts, where it says so itself: "weight" or "quality", a number from 0 to 1.
// Independent of formats and tokens.

import type { DataRecord } from './data-format.ts'

const names = ['weight', 'quality'] as const

/** The row's weight, 1 where it names none, or what is wrong with it. */
export function readWeight(row: DataRecord): number | string {
  const given = names.filter((name) => row[name] !== undefined && row[name] !== null)
  for (const name of given) {
    const value = row[name]
    if (typeof value !== 'number' || !(value >= 0 && value <= 1))
      return `"${name}" must be a number from 0 to 1, got ${JSON.stringify(value).slice(0, 40)}`
  }
  const values = new Set(given.map((name) => row[name] as number))
  if (values.size > 1)
    return '"weight" and "quality" are two names of one thing and differ here; give one of them'
  return [...values][0] ?? 1
}
