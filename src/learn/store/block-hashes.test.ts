import { expect, it } from 'vitest'
import { computeHashes } from './block-hashes.ts'
import { blockBytes } from './checkpoint-file.ts'

it('differ in the changed block alone, whether or not the hashes before are known', async () => {
  const image = Uint8Array.from({ length: 40 * blockBytes + 100 }, (_, i) => i % 251)
  const before = await computeHashes(image)
  expect([before.blocks.length, before.groups.length]).toEqual([41, 3])
  image[20 * blockBytes + 7]! ^= 1
  const after = await computeHashes(image, before)
  expect(after).toEqual(await computeHashes(image))
  const changed = after.blocks.flatMap((hash, i) => (hash === before.blocks[i] ? [] : [i]))
  expect(changed).toEqual([20])
  expect(await computeHashes(new Uint8Array(0))).toEqual({ blocks: [], groups: [] })
})
