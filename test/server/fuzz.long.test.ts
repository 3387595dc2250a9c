// Twenty thousand generated requests to all routes, of four other seeds than fuzz.test.ts.

import { expect, it } from 'vitest'
import { runFuzz } from '../support/fuzz/run-fuzz.ts'

it.each([2, 3, 4, 5])('5,000 generated requests, seed %i', { timeout: 300_000 }, async (seed) => {
  const { problems, statuses } = await runFuzz(5000, seed)
  expect(problems).toEqual([])
  expect(statuses['200']).toBeGreaterThan(500)
})
