import { expect, it } from 'vitest'
import { readDate } from './date.ts'

it('reads a day, defaults to today, and refuses what is not a day', () => {
  const day = readDate('2024-07-06')
  expect([day.getFullYear(), day.getMonth(), day.getDate()]).toEqual([2024, 6, 6])
  expect(Math.abs(readDate(undefined).getTime() - Date.now())).toBeLessThan(10_000)
  for (const text of ['today', '2024-02-31', '06.07.2024', ''])
    expect(() => readDate(text)).toThrow(/--date: got .*expected a day such as 2026-11-30/)
})
