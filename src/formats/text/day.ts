// A day as text, 2026-11-30: how a chat template's date is named on the command line and in an
// adapter's metadata.

/** The local day of a date. */
export function formatDay(date: Date): string {
  const parts = [date.getFullYear(), date.getMonth() + 1, date.getDate()]
  return parts.map((part) => String(part).padStart(2, '0')).join('-')
}

/** Midday of a day, in local time; undefined for a string that is no day. */
export function parseDay(text: string): Date | undefined {
  const [, year, month, day] = /^(\d{4})-(\d{2})-(\d{2})$/.exec(text) ?? []
  const date = new Date(Number(year), Number(month) - 1, Number(day), 12)
  const exists = date.getMonth() + 1 === Number(month) && date.getDate() === Number(day)
  return exists ? date : undefined
}
