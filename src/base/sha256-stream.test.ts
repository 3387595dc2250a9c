import { createHash } from 'node:crypto'
import { expect, it } from 'vitest'
import { Sha256Stream } from './sha256-stream.ts'

it.each([
  [0, 1],
  [55, 7],
  [56, 56],
  [64, 64],
  [65, 1],
  [1000, 63],
  [1000, 129],
  [4096, 100],
])('the hash of %i bytes in pieces of %i is the platform’s', (length, piece) => {
  const bytes = Uint8Array.from({ length }, (_, i) => (i * 37) % 256)
  const hash = new Sha256Stream()
  for (let at = 0; at < length; at += piece) hash.update(bytes.subarray(at, at + piece))
  expect(hash.finish()).toBe(createHash('sha256').update(bytes).digest('hex'))
})
