// The date that chat templates print: today, or the one of --date.

import { UsageError } from '../command.ts'

/** The local day of a date, as --date takes it. */
export function formatDay(date: Date): string {
  const parts = [date.getFullYear(), date.getMonth() + 1, date.getDate()]
  return parts.map((part) => String(part).padStart(2, '0')).join('-')
}

/** Midday of a day written as 2026-11-30, in local time; now, where none is given. */
export function readDate(text: string | undefined): Date {
  if (text === undefined) return new Date()
  const [, year, month, day] = /^(\d{4})-(\d{2})-(\d{2})$/.exec(text) ?? []
  const date = new Date(Number(year), Number(month) - 1, Number(day), 12)
  if (date.getMonth() + 1 !== Number(month) || date.getDate() !== Number(day))
    throw new UsageError(`--date: got ${JSON.stringify(text)}, expected a day such as 2026-11-30.`)
  return date
}
