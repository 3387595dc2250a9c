import { chooseStage, type LogitsStage } from './engine/logits/stage.ts'
import * as ort from 'onnxruntime-node'
import { afterAll, describe, expect, it } from 'vitest'
import { ShapeError } from '../base/errors.ts'
import { random } from '../base/random.ts'
import { f32 } from '../base/tensor.ts'
import { createOnnxRuntimeBackend } from '../compute/onnxruntime.ts'
import { openBaseModel } from '../graph/index.ts'
import { normal } from '../graph/testing.ts'
import { openDirectory } from '../node/files/folder.ts'
import type { Generation } from './engine/answer.ts'
import { createModel, type Model } from './model.ts'

const backend = createOnnxRuntimeBackend(ort as never, { threads: 1 })
const folder = new URL('../catalogue/models/stories260k', import.meta.url).pathname
const models = new Map<string, Model>()
const open = async (weights: 'f32' | 'q8'): Promise<Model> => {
  const model =
    models.get(weights) ??
    createModel({
      base: await openBaseModel({ name: weights, folder: await openDirectory(folder) }),
      backend,
      weights,
    })
  models.set(weights, model)
  return model
}
afterAll(async () => {
  for (const model of models.values()) await model.dispose()
})
const distance = (a: Float32Array, b: Float32Array): number =>
  a.reduce((most, value, i) => Math.max(most, Math.abs(value - b[i]!)), 0)
const last = async (events: AsyncIterable<{ type: string }>): Promise<Generation> => {
  let end: unknown
  for await (const event of events) end = event
  return end as Generation
}

describe.each(['f32', 'q8'] as const)('the head apart from the model, %s', (weights) => {
  const prompts = [
    [1, 80, 90, 100],
    [1, 5, 6],
  ]

  it.each(['fast', 'exact'] as const)(
    'gives the logits that the whole model gives, %s',
    async (accuracy) => {
      const model = await open(weights)
      const hidden = (await model.hidden(prompts, { at: 'last', accuracy })).map(
        ([state]) => state!,
      )
      const logits = await model
        .head(accuracy)
        .logits(
          f32([2, model.config.width], Float32Array.from(hidden.flatMap((state) => [...state]))),
        )
      const whole = await model.nextLogits(prompts, accuracy)
      whole.forEach((row, n) =>
        expect(
          distance(logits.data.subarray(n * row.length, (n + 1) * row.length), row),
        ).toBeLessThan(1e-4),
      )
    },
  )

  it('gives the same text in place of the model’s own head', async () => {
    const model = await open(weights)
    const head = model.head()
    const stage = chooseStage({ run: (_, hidden) => head.logits(hidden) }, undefined)
    const options = { maxTokens: 24, temperature: 0.8, seed: 5 }
    const own = await last(model.generate('Once upon a time', options))
    expect((await last(model.generate('Once upon a time', { ...options, stage }))).ids).toEqual(
      own.ids,
    )
    const { vocabularySize } = model.config
    const run = async () => f32([1, vocabularySize]).data.fill(-1).with(77, 1)
    const silent = chooseStage({ run: async () => f32([1, vocabularySize], await run()) }, 0)
    expect(
      (await last(model.generate('Once upon a time', { maxTokens: 3, stage: silent }))).ids,
    ).toEqual([77, 77, 77])
  })

  it('takes errors of the logits back by the rows of its matrix', async () => {
    const model = await open(weights)
    const head = model.head()
    const errors = normal(random(3), [2, head.vocabularySize])
    const rows = await head.rows(Array.from({ length: head.vocabularySize }, (_, id) => id))
    const expected = Array.from({ length: 2 * head.width }, (_, i) => {
      const m = Math.floor(i / head.width)
      const d = i % head.width
      let sum = 0
      for (let id = 0; id < head.vocabularySize; id++)
        sum += errors.data[m * head.vocabularySize + id]! * rows[id * head.width + d]!
      return sum
    })
    expect(distance((await head.pullBack(errors)).data, Float32Array.from(expected))).toBeLessThan(
      1e-3,
    )
  })

  it('refuses hidden states of another width', async () => {
    await expect((await open(weights)).head().logits(f32([1, 3]))).rejects.toThrow(ShapeError)
  })
})

it('serves a batch: rows of one stage together, each with its own context', async () => {
  const model = await open('f32')
  const { vocabularySize } = model.config
  const seen: (readonly number[])[] = []
  const stage: LogitsStage<number> = {
    run(contexts, { shape }) {
      seen.push(contexts)
      const logits = f32([shape[0]!, vocabularySize])
      contexts.forEach((id, row) => (logits.data[row * vocabularySize + id] = 1))
      return Promise.resolve(logits)
    },
  }
  const answers = await Promise.all(
    [5, 6].map((id) => last(model.generate('a', { maxTokens: 3, stage: chooseStage(stage, id) }))),
  )
  expect(answers.map(({ ids }) => ids)).toEqual([
    [5, 5, 5],
    [6, 6, 6],
  ])
  expect(seen).toContainEqual([5, 6])
})
