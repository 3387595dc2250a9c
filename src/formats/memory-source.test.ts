import { expect, it } from 'vitest'
import { FormatError } from '../base/errors.ts'
import { createMemorySource } from './memory-source.ts'

const source = createMemorySource('four', Uint8Array.of(1, 2, 3, 4))

it('hands out views, not copies', async () => {
  const bytes = Uint8Array.of(1, 2, 3, 4)
  const view = await createMemorySource('four', bytes).read(1, 2)
  bytes[1] = 9
  expect([...view]).toEqual([9, 3])
})

it('reads to the end and nothing at the end', async () => {
  expect([...(await source.read(0, 4))]).toEqual([1, 2, 3, 4])
  expect(await source.read(4, 0)).toHaveLength(0)
})

it.each([
  [0, 5],
  [4, 1],
  [-1, 2],
  [0, -1],
  [Number.NaN, 1],
])('refuses to read %s, %s', async (offset, length) => {
  await expect(source.read(offset, length)).rejects.toThrow(FormatError)
})
