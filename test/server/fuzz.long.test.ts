// A hundred thousand generated requests to all routes, of other seeds than fuzz.test.ts, in servers
// of 5,000 each. GRAFT_FUZZ_REQUESTS sets how many.

import { expect, it } from 'vitest'
import { runFuzz } from '../support/fuzz/run-fuzz.ts'

const count = Number(process.env['GRAFT_FUZZ_REQUESTS'] ?? 100_000)
const most = 5000
const seeds = Array.from({ length: Math.ceil(count / most) }, (_, i) => i + 2)

it.each(seeds)('seed %i: no status of 500 or more, no hang', { timeout: 300_000 }, async (seed) => {
  const { problems, statuses } = await runFuzz(Math.min(most, count - (seed - 2) * most), seed)
  expect(problems).toEqual([])
  expect(statuses['200']).toBeGreaterThan(0)
})
