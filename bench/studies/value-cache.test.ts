// A study that was interrupted goes on where it stood: a value is computed once, and one that was not
// finished is computed again.

import { mkdtemp, readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { createValueCache } from './value-cache.ts'

let folder: string
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'graft-values-'))
})
afterEach(() => rm(folder, { recursive: true }))

it('keeps maps and arrays of numbers from one run to the next', async () => {
  const value = new Map([['a', { shape: [2], data: Float32Array.of(1.5, -2) }]])
  const cache = createValueCache(join(folder, 'new'))
  expect(await cache.keep('x', () => Promise.resolve(value))).toEqual(value)
  const again = createValueCache(join(folder, 'new'))
  expect(await again.keep('x', () => Promise.reject(new Error('computed again')))).toEqual(value)
})

it('keeps nothing of a value that failed', async () => {
  const cache = createValueCache(folder)
  const failing = cache.keep('x', () => Promise.reject(new Error('interrupted')))
  await expect(failing).rejects.toThrow('interrupted')
  expect(await readdir(folder)).toEqual([])
  expect(await cache.keep('x', () => Promise.resolve(3))).toBe(3)
})
