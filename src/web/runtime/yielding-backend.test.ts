import { expect, it } from 'vitest'
import type { Backend, Program } from '../../compute/backend.ts'
import { createYieldingBackend } from './yielding-backend.ts'

/** A program that holds its thread for some milliseconds and answers at once. */
const createBusy = (ms: number): Program => ({
  run: () => {
    const end = performance.now() + ms
    while (performance.now() < end);
    return Promise.resolve(new Map())
  },
  dispose: () => Promise.resolve(),
})

const openBackend = (ms: number): Backend =>
  createYieldingBackend({ name: 'busy', compile: () => Promise.resolve(createBusy(ms)) })

/** How many of 20 runs had ended when a message of another task arrived. */
async function countUntilMessage(ms: number): Promise<number> {
  const program = await openBackend(ms).compile({} as never)
  let seen: number | undefined
  let done = 0
  setTimeout(() => (seen ??= done))
  for (; done < 20; done++) await program.run(new Map())
  return seen ?? done
}

it('a message is seen between the runs of a long computation', async () => {
  expect(await countUntilMessage(10)).toBeLessThan(5)
})

it('programs of a group yield too', async () => {
  const backend = createYieldingBackend({
    name: 'busy',
    compile: () => Promise.reject(new Error('not asked')),
    openGroup: () => ({ add: (members) => Promise.resolve(members.map(() => createBusy(10))) }),
  })
  const [program] = await backend.openGroup!().add([{} as never])
  let seen = false
  setTimeout(() => (seen = true))
  for (let i = 0; i < 10; i++) await program!.run(new Map())
  expect(seen).toBe(true)
})
