// The memory against a naive model, compared after every event.

import { describe, expect, it } from 'vitest'
import { Simulation } from './simulation.testing.ts'

describe('random events', () => {
  it.each([
    { seed: 1, blocks: 64, maxRows: 8, events: 1000, element: 'f32' },
    { seed: 2, blocks: 400, maxRows: 16, events: 1000, element: 'f32' },
    { seed: 3, blocks: 20, maxRows: 3, events: 1000, element: 'f32' },
    { seed: 4, blocks: 100, maxRows: 40, events: 500, element: 'f32' },
    { seed: 5, blocks: 64, maxRows: 8, events: 500, element: 'f16' },
  ] as const)('leave what a plain list holds: %o', ({ seed, events, blocks, maxRows, element }) => {
    const simulation = new Simulation(seed, { blocks, maxRows, element })
    for (let i = 0; i < events && simulation.problems.length === 0; i++) {
      simulation.act()
      simulation.checkForm()
      const all = i % 16 === 0 ? simulation.known : [simulation.pick()].filter((item) => !!item)
      simulation.checkContents(all)
    }
    simulation.closeAll()
    expect(simulation.problems).toEqual([])
    const { used, cached, free } = simulation.memory.statistics.blocks
    expect([used, cached + free]).toEqual([0, blocks])
    expect(simulation.memory.banks).toEqual([])
  })
})
