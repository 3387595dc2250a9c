import { expect, it } from 'vitest'
import { createGuardRecord } from './guard-record.ts'
import { fromSavedGuard } from './user-header.ts'

it('a guard’s record comes from its names in the file; an older file lacks some', () => {
  const saved = { trust: 0.5, rollbacks: 2, checkedAt: 7, worst: 1.5, lookAt: 9 }
  expect(fromSavedGuard(saved, createGuardRecord())).toEqual({
    stepScale: 0.5,
    rollbacks: 2,
    checkedAt: 7,
    worstLoss: 1.5,
    nextCheckAt: 9,
  })
  expect(fromSavedGuard({ trust: 0.25, rollbacks: 1 }, createGuardRecord())).toEqual({
    ...createGuardRecord(),
    stepScale: 0.25,
    rollbacks: 1,
  })
})
