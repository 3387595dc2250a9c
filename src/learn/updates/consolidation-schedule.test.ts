import { describe, expect, it } from 'vitest'
import {
  ConsolidationScheduler,
  isConsolidationDue,
  resolveSchedule,
} from './consolidation-schedule.ts'

describe('a consolidation schedule', () => {
  it('is hourly with a clock and by hand without one', () => {
    const tiers = { hasFastTier: true }
    expect(resolveSchedule(undefined, { ...tiers, hasClock: true })).toEqual({
      everyMs: 3_600_000,
      by: 'sum',
    })
    expect(resolveSchedule(undefined, { ...tiers, hasClock: false })).toBeUndefined()
    expect(resolveSchedule('by-hand', { ...tiers, hasClock: true })).toBeUndefined()
    expect(resolveSchedule({ everyTurns: 4 }, { hasClock: false, hasFastTier: false })).toEqual({
      everyTurns: 4,
      by: 'training',
    })
  })
  it('is due by turns or by time, and never without a learned turn', () => {
    const user = { learned: 5, consolidated: { learned: 3, time: 1000 } }
    expect(isConsolidationDue(user, { everyTurns: 2 }, 1000)).toBe(true)
    expect(isConsolidationDue(user, { everyTurns: 3 }, 1000)).toBe(false)
    expect(isConsolidationDue(user, { everyMs: 10 }, 1010)).toBe(true)
    expect(isConsolidationDue(user, { everyMs: 10 }, 1009)).toBe(false)
    expect(isConsolidationDue({ ...user, learned: 3 }, { everyMs: 10 }, 9999)).toBe(false)
  })
  it('runs once at a time for a user', async () => {
    const started: string[] = []
    const works: Promise<unknown>[] = []
    const scheduler = new ConsolidationScheduler(
      async (user) => void started.push(user),
      (_, work) => void works.push(work),
    )
    scheduler.check('ada')
    scheduler.check('ada')
    scheduler.check('eve')
    expect(started).toEqual(['ada', 'eve'])
    await Promise.all(works)
    scheduler.check('ada')
    expect(started).toEqual(['ada', 'eve', 'ada'])
  })
})
