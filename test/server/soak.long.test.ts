// Half an hour of mixed load: no errors except those that clients cause, no stuck request, constant
// memory, and a probe that always gets the same tokens. GRAFT_SOAK_MINUTES sets how long.

import { expect, it } from 'vitest'
import type { ServerState } from '../support/soak/soak-server.ts'
import { runSoak } from '../support/soak/run-soak.ts'

const minutes = Number(process.env['GRAFT_SOAK_MINUTES'] ?? 30)

const computeMedian = (values: readonly number[]): number =>
  values.toSorted((a, b) => a - b)[values.length >> 1]!

/** The median of a tenth of the measurements. */
const medianOfTenth = (states: readonly ServerState[], tenth: number): number => {
  const each = states.length / 10
  const part = states.slice(Math.floor(tenth * each), Math.floor((tenth + 1) * each))
  return computeMedian(part.map(({ keptBytes }) => keptBytes))
}

it(`answers for ${minutes} minutes`, { timeout: (minutes + 6) * 60_000 }, async () => {
  const report = await runSoak(minutes, 1)
  const { problems, states, statuses, actions, probes, longestProbeMs } = report
  const [second, last] = [medianOfTenth(states, 1), medianOfTenth(states, 9)]
  const resident = states.map(({ residentBytes }) => residentBytes)
  const kept = states.map(({ keptBytes }) => (keptBytes / 1e6).toFixed(1)).join(' ')
  const inMemory = resident.map((bytes) => (bytes / 1e6).toFixed(0)).join(' ')
  console.log(JSON.stringify({ statuses, actions, probes, longestProbeMs }))
  console.log(`kept, in MB: ${kept}\nin memory, in MB: ${inMemory}`)
  expect(problems).toEqual([])
  expect(probes).toBeGreaterThan(minutes * 5)
  expect(Math.max(...resident.slice(resident.length >> 1)) / computeMedian(resident)).toBeLessThan(
    1.2,
  )
  expect(
    last / second,
    `kept bytes: ${second} in the second tenth, ${last} in the last`,
  ).toBeLessThan(1.03)
})
