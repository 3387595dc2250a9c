// Unknown, misspelt and wrong options are errors everywhere, also from plain JavaScript.
import * as ort from 'onnxruntime-node'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { createAdapter, type Adapter } from '../adapters/index.ts'
import { OptionError } from '../base/errors.ts'
import { createOnnxRuntimeBackend } from '../compute/onnxruntime.ts'
import { type BaseModel, openBaseModel } from '../graph/index.ts'
import { openDirectory } from '../node/files/folder.ts'
import { createModel, type Model } from './model.ts'

const backend = createOnnxRuntimeBackend(ort as never, { threads: 1 })
let base: BaseModel
let model: Model
let adapter: Adapter
beforeAll(async () => {
  const path = new URL('../catalogue/models/stories260k', import.meta.url).pathname
  base = await openBaseModel({ name: 'stories260k', folder: await openDirectory(path) })
  model = createModel({ base, backend })
  adapter = await createAdapter('lora', { rank: 2, start: 'random' }, base.graph, { seed: 1 })
})
afterAll(() => model.dispose())

const drain = async (options: object): Promise<void> => {
  for await (const _ of model.generate('Lily:', options));
}
const misspelt = { adaptor: {} } as never

describe('an unknown option is named, with the one that was probably meant', () => {
  const meant = 'there is no option "adaptor". Did you mean "adapter"?'
  it.each<[string, () => unknown]>([
    ['generate', () => drain(misspelt)],
    ['complete', () => model.complete('Lily:', misspelt)],
    ['generateBatch', () => model.generateBatch(['Lily:'], misspelt)],
    ['logits', () => model.logits([[1]], misspelt)],
    ['loss', () => model.loss([[1, 2]], [[1, 2]], misspelt)],
    ['gradients', () => model.gradients([[1, 2]], [[1, 2]], misspelt)],
    ['hidden', () => model.hidden([[1]], misspelt)],
    ['embed', () => model.embed(['Lily'], misspelt)],
    ['nextLogits', () => model.nextLogits([[1]], 'fast', misspelt)],
  ])('%s', async (_, call) => {
    const result = Promise.resolve().then(call)
    await expect(result).rejects.toThrow(OptionError)
    await expect(result).rejects.toThrow(meant)
  })

  it('of sampling', async () => {
    await expect(drain({ temprature: 2 })).rejects.toThrow(
      'Generation options: there is no option "temprature". Did you mean "temperature"?',
    )
  })
  it('of conversations', async () => {
    await expect(drain({ chat: { tool: [] } })).rejects.toThrow('Did you mean "tools"?')
  })
  it('of createModel', () => {
    expect(() => createModel({ base, backend, weight: 'q8' } as never)).toThrow(
      'Model options: there is no option "weight". Did you mean "weights"?',
    )
  })
})

describe('a wrong value is named, with what was expected', () => {
  it('all of them at once', async () => {
    await expect(
      drain({ maxTokens: -1, topP: 2, stop: 'x', adapter: 'cat-stories' }),
    ).rejects.toThrow(
      'Generation options: topP: got 2, expected a number above 0 and at most 1; ' +
        'adapter: got "cat-stories", expected an adapter, a mixture or a fade; ' +
        'maxTokens: got -1, expected an integer ≥ 0; ' +
        'stop: got "x", expected a list, each a string that is not empty.',
    )
  })
  it('a promise, where an await was forgotten', async () => {
    await expect(drain({ adapter: Promise.resolve(adapter) })).rejects.toThrow(
      'adapter: got a promise (is an await missing?), expected an adapter, a mixture or a fade',
    )
  })
  it('of createModel, of a path, and a missing adapter', async () => {
    expect(() => createModel({ base, backend, weights: 'q6' as never })).toThrow(
      'weights: got "q6", expected "file", "f32", "q4", "q8"',
    )
    expect(() => model.head('exat' as never)).toThrow('Did you mean "exact"?')
    await expect(model.prepare(undefined, 'slow' as never)).rejects.toThrow(OptionError)
    await expect(model.nextLogits([[1]], 'slow' as never)).rejects.toThrow(OptionError)
    await expect(model.gradients([[1, 2]], [[1, 2]], {} as never)).rejects.toThrow(
      'adapter is missing',
    )
  })
  it('an option that is undefined counts as left out', async () => {
    await drain({ adapter: undefined, maxTokens: 1, temperature: undefined, signal: undefined })
    expect(await model.logits([[1]], { adapter: undefined })).toMatchObject({ shape: [1, 1, 512] })
  })
})

describe('complete', () => {
  it('gives the text that generate streams, with any option of it', async () => {
    for (const options of [
      { maxTokens: 12 },
      { maxTokens: 12, adapter, temperature: 0.9, seed: 3, stop: ['.'] },
    ]) {
      let text = ''
      for await (const event of model.generate('Lily:', options))
        if (event.type === 'text-delta') text += event.text
      expect(await model.complete('Lily:', options)).toBe(text)
      expect(text).not.toBe('')
    }
  })
  it('stops by its signal', async () => {
    const signal = AbortSignal.abort(new Error('enough'))
    await expect(model.complete('Lily:', { signal })).rejects.toThrow('enough')
  })
})
