import * as ort from 'onnxruntime-node'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { FormatError, OptionError, UnsupportedError } from '../../base/errors.ts'
import { readOptions } from '../../base/schema.ts'
import { createOnnxRuntimeBackend } from '../../compute/onnxruntime.ts'
import { openBaseModel } from '../../graph/index.ts'
import { openDirectory } from '../../node/files/folder.ts'
import { createModel, type Model } from '../../runtime/index.ts'
import { chooseLabels, encodePrompt } from '../classifier/label-tokens.ts'
import { routerContract } from '../router.contract.ts'
import type { Router } from '../router.ts'
import { classifier } from './classifier.ts'
import { createExamples, expertNames } from './testing.ts'

const folder = new URL('../../catalogue/models/stories260k', import.meta.url).pathname
const backend = createOnnxRuntimeBackend(ort as never, { threads: 1 })
let model: Model
let router: Router
const training = {
  experts: expertNames.map((name) => ({ name })),
  examples: createExamples(30, 1),
  held: createExamples(6, 2),
  seed: 0,
}
const given = { epochs: 6, learningRate: 0.01, rank: 8, threshold: 0 }

beforeAll(async () => {
  const base = await openBaseModel({ name: 'stories260k', folder: await openDirectory(folder) })
  model = createModel({ base, backend })
  router = await classifier.train(training, readOptions('Router', given, classifier.fields), {
    model,
  })
}, 120_000)
afterAll(() => model.dispose())

routerContract('classifier', () => ({
  router,
  known: training.examples.slice(0, 8),
  load: (file) => classifier.load(file, { model }),
}))

describe('the router "classifier"', () => {
  it('is right on prompts that it has not met', async () => {
    const rows = createExamples(25, 3)
    let right = 0
    for (const { text, expert } of rows)
      if ((await router.decide({ text })).expert === expert) right++
    expect(right / rows.length).toBeGreaterThan(0.9)
  }, 60_000)

  it('has one token for each expert, and reports where there are too few', () => {
    const { tokenizer } = model.base
    const labels = chooseLabels(tokenizer!, 60)
    expect(new Set(labels).size).toBe(60)
    expect(() => chooseLabels(tokenizer!, 600)).toThrow(UnsupportedError)
    const long = encodePrompt(tokenizer!, 'once upon a time '.repeat(2000), 32)
    const short = encodePrompt(tokenizer!, '', 32)
    expect(long).toHaveLength(32 + short.length)
  })

  it('refuses another base, and files that are not whole', async () => {
    const file = router.save()
    const load = (changed: object) => async () =>
      classifier.load(Object.assign({}, file, changed), { model })
    await expect(
      load({ state: Object.assign({}, file.state, { base: 'f'.repeat(64) }) })(),
    ).rejects.toThrow(/another base/)
    await expect(load({ experts: file.experts.slice(1) })()).rejects.toThrow(FormatError)
    await expect(load({ state: Object.assign({}, file.state, { adapter: {} }) })()).rejects.toThrow(
      /expected a LoRA/,
    )
    await expect((async () => classifier.load(file, {}))()).rejects.toThrow(OptionError)
  })
})
