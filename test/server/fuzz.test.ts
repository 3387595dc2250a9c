// Five hundred generated requests to all routes: no answer of status 500 or more, no hang, no path of
// the server, nothing left over. A hundred thousand are in fuzz.long.test.ts.

import { expect, it } from 'vitest'
import { runFuzz } from '../support/fuzz/run-fuzz.ts'

it('500 generated requests', { timeout: 120_000 }, async () => {
  const { problems, statuses } = await runFuzz(500, 1)
  expect(problems).toEqual([])
  expect(statuses['200']).toBeGreaterThan(50)
  expect(statuses['400']).toBeGreaterThan(50)
})
