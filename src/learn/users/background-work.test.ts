import { expect, it } from 'vitest'
import type { PoolProblem } from '../store/user-pool-options.ts'
import { BackgroundWork } from './background-work.ts'

it('waits for work that was added, also while it waits, and reports what fails', async () => {
  const problems: PoolProblem[] = []
  const work = new BackgroundWork((problem) => void problems.push(problem))
  const done: string[] = []
  const error = new Error('broken')
  work.add(
    'ada',
    Promise.resolve().then(() => {
      done.push('first')
      work.add(
        'eve',
        Promise.resolve().then(() => void done.push('second')),
      )
    }),
  )
  work.add('mob', Promise.reject(error))
  await work.idle()
  expect(done).toEqual(['first', 'second'])
  expect(problems).toEqual([{ user: 'mob', error }])
  await work.idle()
})
