// The date of --date, which chat templates print.

import { parseDay } from '../../formats/text/day.ts'
import { UsageError } from '../command.ts'

/** Midday of a day written as 2026-11-30, in local time; undefined if none is given. */
export function readGivenDate(text: string | undefined): Date | undefined {
  if (text === undefined) return undefined
  const date = parseDay(text)
  if (date) return date
  throw new UsageError(`--date: got ${JSON.stringify(text)}, expected a day such as 2026-11-30.`)
}

/** The same, or the current time if none is given. */
export const readDate = (text: string | undefined): Date => readGivenDate(text) ?? new Date()
