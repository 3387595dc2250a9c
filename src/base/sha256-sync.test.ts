import { createHash } from 'node:crypto'
import { expect, it } from 'vitest'
import { computeSha256Sync } from './sha256-sync.ts'

it.each([0, 1, 55, 56, 63, 64, 65, 119, 120, 1000])(
  'the hash of %i bytes is the platform’s',
  (length) => {
    const bytes = Uint8Array.from({ length }, (_, i) => (i * 37) % 256)
    expect(computeSha256Sync(bytes)).toBe(createHash('sha256').update(bytes).digest('hex'))
  },
)
