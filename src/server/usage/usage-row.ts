// Usage: one row for each day, key, expert and user. Rows add up, so their number grows with the
// number of users, not of requests. Independent of the store.

/** The usage of one request, or of several with the same day, key, expert and user. */
export interface UsageRow {
  /** In UTC, '2026-11-30'. */
  readonly day: string
  /** The name of the key; '' if the server needs none. */
  readonly key: string
  /** The name in the request; '' for the base. */
  readonly expert: string
  /** The request's `user`; '' where it named none. */
  readonly user: string
  readonly requests: number
  /** Requests that ended with an error or were cancelled by the client. */
  readonly failed: number
  readonly promptTokens: number
  /** Prompt tokens that were found in the cache. */
  readonly cachedTokens: number
  readonly completionTokens: number
}

export interface UsageFilter {
  /** The first and the last day, in UTC. */
  readonly from?: string | undefined
  readonly to?: string | undefined
  readonly key?: string | undefined
}

/** Where rows are kept. */
export interface UsageStore {
  /** Adds to the rows of the same day, key, expert and user: all rows, or none if it fails. */
  add(rows: readonly UsageRow[]): Promise<void>
  /** In the order of day, key, expert and user. */
  list(filter?: UsageFilter): Promise<readonly UsageRow[]>
  /** The user's rows keep their counts and lose the name. */
  forgetUser(user: string): Promise<void>
}

export const usageNames = ['day', 'key', 'expert', 'user'] as const
export const usageCounts = [
  'requests',
  'failed',
  'promptTokens',
  'cachedTokens',
  'completionTokens',
] as const

/** Equal for rows that belong together. */
export const getUsageKey = (row: UsageRow): string =>
  JSON.stringify(usageNames.map((name) => row[name]))

/** One row for each day, key, expert and user. */
export function sumUsage(rows: Iterable<UsageRow>): UsageRow[] {
  const sums = new Map<string, UsageRow>()
  for (const row of rows) {
    const key = getUsageKey(row)
    const before = sums.get(key)
    sums.set(key, before === undefined ? row : addUsage(before, row))
  }
  return [...sums.values()]
}

/** The sum of two rows that belong together. */
export function addUsage(a: UsageRow, b: UsageRow): UsageRow {
  const counts = usageCounts.map((name) => [name, a[name] + b[name]] as const)
  return Object.assign({}, a, Object.fromEntries(counts)) as UsageRow
}

/** By day, key, expert and user, each by code units. */
export const sortUsage = (rows: Iterable<UsageRow>): UsageRow[] =>
  [...rows].sort((a, b) => {
    const differs = usageNames.find((name) => a[name] !== b[name])
    return differs === undefined ? 0 : a[differs] < b[differs] ? -1 : 1
  })

export const isWithinFilter = (row: UsageRow, { from, to, key }: UsageFilter): boolean =>
  (from === undefined || row.day >= from) &&
  (to === undefined || row.day <= to) &&
  (key === undefined || row.key === key)

const columns = [...usageNames, ...usageCounts]
const toSnakeCase = (name: string): string =>
  name.replaceAll(/[A-Z]/g, (a) => `_${a.toLowerCase()}`)

/** Rows with the names that clients of the API expect: `prompt_tokens`. */
export const formatUsageJson = (rows: readonly UsageRow[]): Record<string, string | number>[] =>
  rows.map((row) => Object.fromEntries(columns.map((name) => [toSnakeCase(name), row[name]])))

/** Rows as CSV with a header (RFC 4180). */
export const formatUsageCsv = (rows: readonly UsageRow[]): string =>
  [
    columns.map(toSnakeCase).join(','),
    ...rows.map((row) => columns.map((name) => formatCell(row[name])).join(',')),
  ]
    .map((line) => `${line}\r\n`)
    .join('')

/**
 * A cell. Spreadsheets evaluate a cell that begins with one of these characters, and users choose
 * their names: a leading apostrophe keeps it text.
 */
function formatCell(value: string | number): string {
  if (typeof value === 'number') return String(value)
  const harmless = /^[=+\-@\t\r]/.test(value) ? `'${value}` : value
  return /[",\r\n]/.test(harmless) ? `"${harmless.replaceAll('"', '""')}"` : harmless
}
