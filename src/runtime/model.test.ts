import { createProgramCompiler } from './programs/program-compiler.ts'
import * as ort from 'onnxruntime-node'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { Adapter } from '../adapters/index.ts'
import { initializeAdapter } from '../adapters/create-adapter.ts'
import { ContextLengthError, DataError, NotFoundError, OptionError } from '../base/errors.ts'
import { f32, i64, type Tensor } from '../base/tensor.ts'
import type { Backend } from '../compute/backend.ts'
import { createOnnxRuntimeBackend } from '../compute/onnxruntime.ts'
import { referenceBackend } from '../compute/reference.ts'
import { openSafetensors } from '../formats/safetensors/reader.ts'
import {
  type BaseModel,
  composeBlocks,
  evaluate,
  collectModelFeeds,
  openBaseModel,
  readWeights,
} from '../graph/index.ts'
import { openFileSource } from '../node/files/file-source.ts'
import { openDirectory } from '../node/files/folder.ts'
import { createBaseWeights } from './programs/base-weights.ts'
import { createForward } from './programs/forward.ts'
import type { Generation } from './engine/answer.ts'
import type { GenerateEvent } from './engine/request.ts'
import type { GenerateOptions } from './engine/generate-options.ts'
import { createModel, type Model } from './model.ts'
import type { Prompt } from './prompt.ts'
import { measureActivationError } from './analysis/quantisation-error.ts'
import { createServingProgram } from './programs/serving-program.ts'

const onnx = createOnnxRuntimeBackend(ort as never, { threads: 1 })
const parity = (path: string): string =>
  new URL(`../../test/parity/${path}`, import.meta.url).pathname
const open = async (path: string, name = path): Promise<BaseModel> =>
  openBaseModel({ name, folder: await openDirectory(path) })
const storiesPath = new URL('../catalogue/models/stories260k', import.meta.url).pathname
const distance = (a: Float32Array, b: Float32Array): number =>
  a.reduce((most, value, i) => Math.max(most, Math.abs(value - b[i]!)), 0)

/** The last event, once all the streamed text was seen to add up to it. */
async function finish(
  model: Model,
  prompt: Prompt,
  options: GenerateOptions = {},
): Promise<Generation> {
  const events: GenerateEvent[] = []
  for await (const event of model.generate(prompt, options)) events.push(event)
  const [end] = events.flatMap((event) => (event.type === 'generation-end' ? [event] : []))
  const streamed = events.map((event) => (event.type === 'text-delta' ? event.text : '')).join('')
  if (!end || streamed !== end.text)
    throw new Error(
      `the stream gave ${JSON.stringify(streamed)}, its end ${JSON.stringify(end?.text)}`,
    )
  return end
}

/** Logits by the whole graph, without cache, on the reference interpreter: the oracle. */
async function oracle(base: BaseModel, ids: readonly number[]): Promise<Float32Array> {
  const feeds = new Map<string, Tensor>([
    ...(await readWeights(base)),
    ...collectModelFeeds(base.config, { ids: [ids] }),
  ])
  feeds.set('rows', i64([ids.length], [...ids.keys()]))
  return evaluate(composeBlocks(base.graph.blocks), feeds).get('logits')!.data as Float32Array
}

/** A forward pass over the base alone. */
function forwardOf(base: BaseModel, backend: Backend) {
  const weights = createBaseWeights(base.graph, base.weights)
  const program = createServingProgram({
    model: base.graph,
    weights,
    compiler: createProgramCompiler({ weights, backend }),
    accuracy: 'exact',
  })
  return createForward({ config: base.config, weights, program: () => program })
}

const architectures = [
  'llama',
  'llama_rope_dynamic',
  'mistral_sliding',
  'gemma3_text',
  'phi3',
  'qwen3',
  'smollm3',
]

describe.each(architectures)('decoding with a cache: %s', (name) => {
  // longer than the sliding windows of 32 and 24
  const ids = Array.from({ length: 45 }, (_, i) => 3 + ((i * 37 + 11) % 300))

  it.each([
    ['the reference', referenceBackend],
    ['ONNX Runtime', onnx],
  ] as const)('gives what one pass without a cache gives, on %s', async (_, backend) => {
    const base = await open(parity(`architectures/${name}`))
    const expected = await oracle(base, ids)
    const V = base.config.vocabularySize
    const forward = forwardOf(base, backend)
    // Row 0 takes 20 tokens, then 20, then single ones; row 1 has other lengths, so the rows never
    // stand at the same place.
    const cache = forward.cache(2)
    const steps: [number, number][] = [
      [20, 7],
      [20, 30],
      [1, 1],
      [1, 2],
      [1, 3],
      [2, 2],
    ]
    for (const counts of steps) {
      const from = cache.lengths
      const rows = counts.map((count, row) => ids.slice(from[row], from[row]! + count))
      const results = await forward(rows, cache, { at: 'all' })
      results.forEach((row, n) => {
        row.forEach((logits, t) => {
          const at = from[n]! + t
          expect(
            distance(logits, expected.subarray(at * V, (at + 1) * V)),
            `row ${n}, token ${at}`,
          ).toBeLessThan(1e-4)
        })
      })
    }
    expect(cache.lengths).toEqual([45, 45])
    await base.weights.close()
  })
})

describe.each(architectures)('a whole model: %s', (name) => {
  it('has the logits and the greedy continuation of transformers', async () => {
    const base = await open(parity(`architectures/${name}`))
    const expected = await openSafetensors(
      await openFileSource(parity(`architectures/${name}/expected.safetensors`)),
    )
    const model = createModel({ base, backend: onnx })
    const rows = (await expected.read('input_ids')) as Tensor<BigInt64Array>
    const T = rows.shape[1]!
    const ids = [0, 1].map((n) => Array.from(rows.data.subarray(n * T, (n + 1) * T), Number))
    const logits = (await expected.read('logits')).data as Float32Array
    const greedy = Array.from((await expected.read('greedy')).data as BigInt64Array, Number)
    const T0 = 20 // tokens of the prompt that was continued
    expect(distance((await model.logits(ids)).data, logits)).toBeLessThan(1e-3)
    const eos = base.config.eosTokenIds.length > 0 ? greedy.length - T0 : 0
    expect(
      (await finish(model, greedy.slice(0, T0), { maxTokens: greedy.length - T0, minTokens: eos }))
        .ids,
    ).toEqual(greedy.slice(T0))
    await expected.close()
    await model.dispose()
  })
})

describe('stories260k', () => {
  let model: Model
  let base: BaseModel
  let adapter: Adapter
  let odd: Adapter
  beforeAll(async () => {
    base = await open(storiesPath, 'stories260k')
    model = createModel({ base, backend: onnx })
    adapter = initializeAdapter(
      'lora',
      { rank: 4, targets: ['q_proj', 'v_proj', 'down_proj'], start: 'random' },
      base.graph,
      { seed: 3 },
    )
    odd = initializeAdapter(
      'lora',
      { rank: 2, targets: ['k_proj', 'gate_proj'], start: 'random' },
      base.graph,
      { seed: 4 },
    )
    for (const one of [adapter, odd])
      for (const { data } of one.tensors.values())
        for (let i = 0; i < data.length; i++) data[i] = Number(data[i]) * 4
  })
  afterAll(() => model.dispose())
  const prompt = 'Once upon a time'

  it('tells the story that transformers tells', async () => {
    const { text, ids, reason, promptTokens } = await finish(model, prompt, { maxTokens: 40 })
    expect(text).toBe(
      ', there was a little girl named Lily. She loved to play outside in the park. One day, she saw a big, red ball.',
    )
    expect([ids.length, reason, promptTokens]).toEqual([40, 'length', 5])
  })

  it('adapter A, then B, then A, then none: A tells A’s story again and the base its own', async () => {
    const ids = async (one?: Adapter): Promise<readonly number[]> =>
      (await finish(model, prompt, { adapter: one, maxTokens: 24 })).ids
    const none = await ids()
    const first = await ids(adapter)
    const second = await ids(odd)
    expect(first).not.toEqual(none)
    expect(second).not.toEqual(first)
    expect(await ids(adapter)).toEqual(first)
    expect(await ids()).toEqual(none)
  })

  it('answers a batch as it answers each prompt alone', async () => {
    const prompts = ['Once upon a time', 'The dog', 'Lily and Tom went to the big park and']
    for (const one of [undefined, adapter]) {
      const alone = [] as string[]
      for (const text of prompts)
        alone.push((await finish(model, text, { maxTokens: 20, adapter: one })).text)
      const together = await model.generateBatch(prompts, { maxTokens: 20, adapter: one })
      expect(together.map(({ text }) => text)).toEqual(alone)
    }
  })

  it('rows of a batch may end at different times', async () => {
    const prompts = ['Once upon a time', 'The dog', 'One day, she']
    const stop = [' was', ' park']
    const together = await model.generateBatch(prompts, { maxTokens: 30, stop })
    for (const [i, text] of prompts.entries())
      expect(together[i]!.text).toBe((await finish(model, text, { maxTokens: 30, stop })).text)
    expect(new Set(together.map(({ ids }) => ids.length)).size).toBeGreaterThan(1)
  })

  it('ends before a stop string and gives out no part of it', async () => {
    const { text, reason } = await finish(model, prompt, { maxTokens: 60, stop: ['named Li'] })
    expect([text, reason]).toEqual([', there was a little girl ', 'stop'])
  })

  it('samples the same text for the same seed', async () => {
    const options = { temperature: 0.9, topK: 20, topP: 0.95, maxTokens: 16 }
    const text = async (seed: number): Promise<string> =>
      (await finish(model, prompt, { ...options, seed })).text
    expect(await text(7)).toBe(await text(7))
    expect(new Set([await text(1), await text(2), await text(3)]).size).toBeGreaterThan(1)
  })

  it('loss is the mean over scored labels, gradients belong to it', async () => {
    const ids = [model.encode('Once upon a time there was'), model.encode('The dog ran')]
    const labels = ids.map((row) => row.map((id, t) => (t < 3 ? -100 : id)))
    const loss = await model.loss(ids, labels, { adapter })
    const result = await model.gradients(ids, labels, { adapter })
    expect(result.loss).toBeCloseTo(loss, 5)
    expect(new Set(result.gradients.keys())).toEqual(new Set(adapter.tensors.keys()))
    // One number against a difference quotient.
    const [key, tensor] = [...adapter.tensors][1]! as [string, Tensor<Float32Array>]
    const at = async (shift: number): Promise<number> => {
      const data = tensor.data.slice()
      data[0]! += shift
      return model.loss(ids, labels, {
        adapter: {
          ...adapter,
          tensors: new Map([...adapter.tensors, [key, f32(tensor.shape, data)]]),
        },
      })
    }
    const slope = ((await at(1e-2)) - (await at(-1e-2))) / 2e-2
    expect((result.gradients.get(key)!.data as Float32Array)[0]).toBeCloseTo(slope, 3)
  })

  it('embeds texts as vectors of length 1, near for near texts', async () => {
    const texts = [
      'The dog ran in the park.',
      'The dog ran in the big park.',
      'Mom made a cake for him',
    ]
    const { data, shape } = await model.embed(texts)
    expect(shape).toEqual([3, base.config.width])
    const dot = (a: number, b: number): number => {
      let sum = 0
      for (let i = 0; i < base.config.width; i++)
        sum += data[a * base.config.width + i]! * data[b * base.config.width + i]!
      return sum
    }
    expect(dot(0, 0)).toBeCloseTo(1, 5)
    expect(dot(0, 1)).toBeGreaterThan(dot(0, 2))
  })

  it('serves an adapter on embedding and head from a program of its own', async () => {
    const wide = initializeAdapter(
      'lora',
      { rank: 2, targets: ['embed_tokens', 'q_proj'], start: 'random' },
      base.graph,
      { seed: 5 },
    )
    const ids = model.encode(prompt)
    const [changed] = await model.nextLogits([ids], 'fast', { adapter: wide })
    const [plain] = await model.nextLogits([ids], 'fast')
    expect(distance(changed!, plain!)).toBeGreaterThan(1e-3)
  })

  it('serves 8-bit weights near the file’s own, and reports how near', async () => {
    const packed = createModel({ base: await open(storiesPath), backend: onnx, weights: 'q8' })
    const prompts = ['Once upon a time', 'The dog', 'Lily and Tom']
    const error = await measureActivationError(packed, prompts)
    expect(error.prompts).toBe(3)
    expect(error.meanDivergence).toBeGreaterThan(0)
    expect(error.meanDivergence).toBeLessThan(0.05)
    const [near] = await packed.nextLogits([packed.encode(prompt)], 'exact', { adapter })
    const [own] = await model.nextLogits([model.encode(prompt)], 'exact', { adapter })
    expect(distance(near!, own!)).toBeLessThan(0.5)
    await packed.dispose()
  })

  it('refuses what cannot be, by name', async () => {
    const many = Array.from({ length: 600 }, () => 5)
    await expect(finish(model, many)).rejects.toThrow(ContextLengthError)
    await expect(model.logits([many])).rejects.toThrow(ContextLengthError)
    await expect(finish(model, [])).rejects.toThrow(OptionError)
    await expect(model.logits([[1, 99999]])).rejects.toThrow(/99999/)
    await expect(model.loss([[1, 2]], [[-100, -100]])).rejects.toThrow(DataError)
    await expect(finish(model, [{ role: 'user', content: 'hi' }])).rejects.toThrow(NotFoundError)
    await expect(finish(model, prompt, { maxTokens: -1 })).rejects.toThrow(OptionError)
  })

  it('stops when told to', async () => {
    const signal = AbortSignal.abort(new Error('enough'))
    await expect(finish(model, prompt, { signal })).rejects.toThrow('enough')
  })
})
