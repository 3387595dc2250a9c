// Feedback on prompts whose distribution differs from the training of a policy: 198 correct ratings
// restore at least half of the lost accuracy, and 198 shuffled ones restore none.

import * as ort from 'onnxruntime-node'
import { beforeAll, expect, it } from 'vitest'
import { createOnnxRuntimeBackend } from '../../compute/onnxruntime.ts'
import type { Router } from '../router.ts'
import { regain, regainByRight, regainByShuffled, trainShifted } from './shifted-prompts.testing.ts'

const backend = createOnnxRuntimeBackend(ort as never, { threads: 1 })
const seed = 1
let trained: Router

beforeAll(async () => {
  trained = await trainShifted(seed, backend)
}, 60_000)

it('brings back at least half of what was lost, and keeps what was known', async () => {
  const { share, lost, known } = await regainByRight(trained, seed)
  expect(lost).toBeGreaterThan(0.2)

  expect(share).toBeGreaterThan(0.5)
  expect(known).toBeGreaterThan(0.9)
}, 60_000)

it('brings back a part by thumbs alone', async () => {
  const { share } = await regain(trained, seed, () => undefined)

  expect(share).toBeGreaterThan(0.15)
}, 60_000)

it('brings back nothing where the right experts are shuffled', async () => {
  const { share } = await regainByShuffled(trained, seed)

  expect(share).toBeLessThan(0.05)
}, 60_000)
