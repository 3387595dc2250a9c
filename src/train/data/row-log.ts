// How every key of a row is used, and the sums over a data set. Independent of formats and tokens.

/** A log of one row, written while a format reads it. */
export interface RowLog {
  /** Paths of keys that nothing reads: 'messages[].content[].cache_control'. */
  readonly leftOut: Set<string>
  /** Paths of keys that are used only if the model's chat template reads them. */
  readonly passed: Set<string>
  /** What is wrong with the row. */
  readonly problems: string[]
  /** Assistant turns that are only read because their weight is 0. */
  readOnlyTurns: number
}

export const createRowLog = (): RowLog => ({
  leftOut: new Set(),
  passed: new Set(),
  problems: [],
  readOnlyTurns: 0,
})

/** Counts of what is not learned in a data set. */
export interface DataSummary {
  /** By the path of a key that is not used, how many rows have it. */
  readonly leftOut: Readonly<Record<string, number>>
  /** Assistant turns that are only read because their weight is 0. */
  readonly readOnlyTurns: number
  /** Rows with an unpaired surrogate, which is read as U+FFFD. */
  readonly brokenText: number
}

/** How often each path occurs, in the order of the paths. */
export function countPaths(sets: Iterable<Iterable<string>>): Record<string, number> {
  const counts = new Map<string, number>()
  for (const set of sets) for (const path of set) counts.set(path, (counts.get(path) ?? 0) + 1)
  return Object.fromEntries([...counts].sort(([a], [b]) => (a < b ? -1 : 1)))
}

/** Levels of lists and objects that a row may have; deeper ones are refused. */
export const deepestRow = 100

/** Whether lists and objects are nested deeper than `levels`. */
export function isDeeperThan(value: unknown, levels: number): boolean {
  if (typeof value !== 'object' || value === null) return false
  return levels === 0 || Object.values(value).some((item) => isDeeperThan(item, levels - 1))
}

/** Whether any string in the value contains an unpaired surrogate. */
export function hasBrokenText(value: unknown): boolean {
  if (typeof value === 'string') return !value.isWellFormed()
  if (typeof value !== 'object' || value === null) return false
  return Array.isArray(value)
    ? value.some(hasBrokenText)
    : Object.entries(value).some(([key, item]) => !key.isWellFormed() || hasBrokenText(item))
}
