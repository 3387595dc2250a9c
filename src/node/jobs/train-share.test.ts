import { expect, it } from 'vitest'
import { chooseShareThreads, planShare } from './train-share.ts'

it('gives each half of the threads, or the job the lowest priority', () => {
  expect(planShare('half', 8)).toEqual({ engine: 4, job: 4, priority: 0 })
  expect(planShare('half', 3)).toEqual({ engine: 2, job: 1, priority: 0 })
  expect(planShare('half', 1)).toEqual({ engine: 1, job: 1, priority: 0 })
  expect(planShare('background', 8)).toEqual({ engine: 8, job: 8, priority: 19 })
})

it('chooses threads, and refuses more than a half', () => {
  const { engine, job } = planShare('half')
  expect(chooseShareThreads(undefined, 'engine', 64)).toBe(64)
  expect(chooseShareThreads('background', 'job', undefined)).toBeUndefined()
  expect(chooseShareThreads('half', 'engine', undefined)).toBe(engine)
  expect(chooseShareThreads('half', 'job', 1)).toBe(1)
  expect(() => chooseShareThreads('half', 'job', job + 1)).toThrow(
    `threads: got ${job + 1}, expected at most ${job}`,
  )
})
