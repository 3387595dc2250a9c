import { expect, it } from 'vitest'
import { ConflictError } from '../../base/errors.ts'
import type { PoolProblem } from '../store/user-pool-options.ts'
import { WriteConflicts } from './resolve-conflicts.ts'

it('reports a conflict once, however many writes fail, and again after it was resolved', async () => {
  const problems: PoolProblem[] = []
  let resolved = 0
  const failure = new Error('disk full')
  const conflicts = new WriteConflicts(
    (problem) => void problems.push(problem),
    async (user) => {
      resolved++
      if (user === 'eve') throw failure
    },
  )
  const conflict = new ConflictError('written by another process')
  await Promise.all([
    conflicts.handle({ user: 'ada', error: conflict }),
    conflicts.handle({ user: 'ada', error: conflict }),
  ])
  expect([resolved, problems]).toEqual([1, [{ user: 'ada', error: conflict }]])
  await conflicts.handle({ user: 'ada', error: conflict })
  expect(resolved).toBe(2)
  await conflicts.handle({ user: 'eve', error: conflict })
  expect(problems.at(-1)).toEqual({ user: 'eve', error: failure })
  await conflicts.handle({ user: 'mob', error: failure })
  expect([problems.at(-1), resolved]).toEqual([{ user: 'mob', error: failure }, 3])
})
