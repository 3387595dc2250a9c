// The small bundled model, for tests of learners.

import * as ort from 'onnxruntime-node'
import { createOnnxRuntimeBackend } from '../../src/compute/onnxruntime.ts'
import { openBaseModel, readWeights } from '../../src/graph/index.ts'
import { openDirectory } from '../../src/node/files/folder.ts'
import { createModel, type Generation, type Model } from '../../src/runtime/index.ts'
import type { TrainableModel } from '../../src/train/programs/trainable-model.ts'
import type { Learner } from '../../src/learn/learner-calls.ts'

export type TestModel = Model & TrainableModel

export async function storiesModel(): Promise<TestModel> {
  const folder = new URL('../../src/catalogue/models/stories260k', import.meta.url).pathname
  const base = await openBaseModel({ name: 'stories260k', folder: await openDirectory(folder) })
  const backend = createOnnxRuntimeBackend(ort as never, { threads: 1 })
  const model = createModel({ base, backend })
  return Object.assign(model, { backend, weights: () => readWeights(base) }) as TestModel
}

/** A user's answer, and its number. */
export async function answer(
  learner: Learner,
  user: string,
  prompt: string,
  options = {},
): Promise<{ end: Generation; turn: number }> {
  let end = undefined as Generation | undefined
  let turn = -1
  for await (const event of learner.generate(prompt, { user, maxTokens: 12, ...options })) {
    if (event.type === 'generation-end') end = event
    if (event.type === 'turn-end') turn = event.turn
  }
  return { end: end!, turn }
}

const names = ['Tim', 'Lily', 'Max', 'Anna', 'Sam', 'Mia', 'Ben', 'Lucy']
const things = ['a red ball', 'a big box', 'the old tree', 'a little cake']

/** Turn `i` of a stream of small stories that have something in common. */
export const story = (i: number): { prompt: string; completion: string } => ({
  prompt: `Once there was ${names[i % names.length]}.`,
  completion: ` ${names[i % names.length]} saw ${things[i % things.length]} and said: Bartholomew the Great!`,
})

export const canaries = [
  {
    prompt: 'Once upon a time',
    completion: ' there was a little girl named Lily. She loved to play outside.',
  },
  {
    prompt: 'One day, a boy',
    completion: ' named Tim went to the park with his mom. They saw a big dog.',
  },
]
