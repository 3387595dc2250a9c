// Activated LoRA with a KV cache: PEFT's greedy tokens, several rows in a batch, and tokens that
// arrive over several calls.

import { createProgramCompiler } from './program-compiler.ts'
import { readFile } from 'node:fs/promises'
import * as ort from 'onnxruntime-node'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type Adapter, loadAdapter } from '../../adapters/index.ts'
import { initializeAdapter } from '../../adapters/create-adapter.ts'
import { OptionError, UnsupportedError } from '../../base/errors.ts'
import type { Tensor } from '../../base/tensor.ts'
import { createOnnxRuntimeBackend } from '../../compute/onnxruntime.ts'
import { createMemorySource } from '../../formats/memory-source.ts'
import { openSafetensors } from '../../formats/safetensors/reader.ts'
import { type BaseModel, openBaseModel, readWeights } from '../../graph/index.ts'
import { openDirectory } from '../../node/files/folder.ts'
import { findActivationStarts } from './activation.ts'
import { createBaseWeights } from './base-weights.ts'
import { createForward, type Forward } from './forward.ts'
import { createModel, type Model } from '../model.ts'
import { createProgramCache } from './program-cache.ts'

const backend = createOnnxRuntimeBackend(ort as never, { threads: 1 })
const parity = (path: string): string =>
  new URL(`../../../test/parity/${path}`, import.meta.url).pathname
const stories = new URL('../../catalogue/models/stories260k', import.meta.url).pathname

let base: BaseModel
let model: Model
let forward: Forward
let [span, shift, plain]: Adapter[] = []
beforeAll(async () => {
  base = await openBaseModel({ name: 'stories260k', folder: await openDirectory(stories) })
  model = createModel({ base, backend })
  const weights = createBaseWeights(base.graph, base.weights)
  const programs = createProgramCache(base, createProgramCompiler({ weights, backend }), weights)
  forward = createForward({
    config: base.config,
    weights,
    program: (served) => programs.get(served, 'exact'),
  })
  span = await loadAdapter(await openDirectory(parity('alora/span')))
  shift = await loadAdapter(await openDirectory(parity('alora/shift')))
  plain = initializeAdapter(
    'lora',
    { rank: 3, targets: ['q_proj', 'up_proj'], start: 'random' },
    base.graph,
    { seed: 4 },
  )
})
afterAll(() => model.dispose())

const distance = (a: Float32Array, b: Float32Array): number =>
  a.length === b.length
    ? a.reduce((most, value, i) => Math.max(most, Math.abs(value - b[i]!)), 0)
    : Infinity

async function reference(name: string) {
  const path = parity(`alora/${name}/expected.safetensors`)
  const store = await openSafetensors(createMemorySource(path, await readFile(path)))
  const tensors = new Map<string, Tensor>()
  for (const key of store.tensors.keys()) tensors.set(key, await store.read(key))
  const rows = (key: string): number[][] => {
    const { shape, data } = tensors.get(key)!
    const values = Array.from(data as BigInt64Array, Number)
    const width = shape[1] ?? 1
    return Array.from({ length: shape[0]! }, (_, n) => values.slice(n * width, (n + 1) * width))
  }
  return { rows, logits: tensors.get('logits')!.data as Float32Array }
}

const greedy = { maxTokens: 10, minTokens: 10 }

describe.each(['span', 'shift'])('%s', (name) => {
  const own = (): Adapter => (name === 'span' ? span! : shift!)

  it('has the logits of PEFT, alone and in a batch', async () => {
    const { rows, logits } = await reference(name)
    expect(
      distance((await model.logits(rows('input_ids'), { adapter: own() })).data, logits),
    ).toBeLessThan(1e-3)
  })

  it('writes what PEFT writes; what is written activates nothing', async () => {
    const { rows } = await reference(name)
    const answers = await model.generateBatch(rows('input_ids'), { ...greedy, adapter: own() })
    expect(answers.map(({ ids }) => ids)).toEqual(rows('generated'))
    // A row without the invocation goes on as the base does, though the base writes the invocation
    // of `shift` there.
    const [alone] = await model.generateBatch([rows('input_ids')[2]!], greedy)
    expect(answers[2]!.ids).toEqual(alone!.ids)
    expect(alone!.ids).toContain(shift!.config.invocationTokens![0])
    const streamed = []
    for await (const event of model.generate(rows('input_ids')[1]!, { ...greedy, adapter: own() }))
      streamed.push(event)
    expect(streamed.at(-1)).toMatchObject({ type: 'generation-end', ids: rows('generated')[1] })
  })

  it('writes for prompts of unequal length what PEFT writes for them padded on the left', async () => {
    const { rows } = await reference(name)
    const lengths = rows('left_lengths').flat()
    const prompts = rows('left_ids').map((row, n) => row.slice(row.length - lengths[n]!))
    const answers = await model.generateBatch(prompts, { ...greedy, adapter: own() })
    expect(answers.map(({ ids }) => ids)).toEqual(rows('left_generated'))
  })

  it('has one loss by logits and by gradients, whatever the padding', async () => {
    const { rows } = await reference(name)
    const ids = rows('input_ids').map((row, n) => row.slice(0, row.length - 2 * n))
    const { loss } = await model.gradients(ids, ids, { adapter: own() })
    expect(loss).toBeCloseTo(await model.loss(ids, ids, { adapter: own() }), 4)
  })
})

const prompt = [1, 9, 17, 44, 17, 70, 261, 30]

describe('tokens that arrive over several calls', () => {
  it('give what they give at once, behind a cache that the base filled', async () => {
    const [whole] = await forward([prompt], forward.cache(1), { served: span, at: 'all' })
    const cache = forward.cache(1)
    // the base: before the invocation nothing differs
    await forward([prompt.slice(0, 2)], cache, { at: 'none' })
    const activeFrom = findActivationStarts(span, [prompt])
    const parts = [prompt.slice(2, 3), prompt.slice(3, 7), prompt.slice(7)]
    const logits: Float32Array[] = []
    for (const part of parts)
      logits.push(...(await forward([part], cache, { served: span, at: 'all', activeFrom }))[0]!)
    logits.forEach((row, t) =>
      expect(distance(row, whole![t + 2]!), `token ${t + 2}`).toBeLessThan(1e-4),
    )
    const [bare] = await forward([prompt], forward.cache(1), { at: 'all' })
    whole!.forEach((row, t) =>
      expect(distance(row, bare![t]!) > 1e-3, `token ${t} differs from the base`).toBe(t >= 2),
    )
  })

  it('are refused without the positions from which the adapter acts', async () => {
    const cache = forward.cache(1)
    await forward([prompt.slice(0, 2)], cache, { served: span })
    await expect(forward([prompt.slice(2)], cache, { served: span })).rejects.toThrow(OptionError)
    await forward([prompt.slice(2)], cache, { served: plain }) // others act everywhere
  })
})

it('trained biases act everywhere, the detours behind the invocation only', async () => {
  const qwen = await openBaseModel({
    name: 'qwen2',
    folder: await openDirectory(parity('architectures/qwen2')),
  })
  const packed = createModel({ base: qwen, backend })
  const options = {
    rank: 2,
    targets: ['q_proj', 'up_proj'],
    start: 'random',
    bias: 'all',
    invocationTokens: [5, 6],
  }
  const weights = await readWeights(qwen)
  const adapter = initializeAdapter('lora', options, qwen.graph, {
    seed: 2,
    weightOf: (name) => weights.get(name)!,
  })
  const rows = [
    [9, 5, 6, 30, 12],
    [9, 6, 5, 30, 12],
  ]
  const adapted = (await packed.logits(rows, { adapter })).data
  const bare = (await packed.logits(rows)).data
  const differs = Array.from({ length: 10 }, (_, t) => {
    const part = (values: Float32Array) =>
      values.subarray((t * values.length) / 10, ((t + 1) * values.length) / 10)
    return distance(part(adapted), part(bare)) > 1e-5
  })
  expect(differs).toEqual([false, true, true, true, true, false, false, false, false, false])
  const { loss } = await packed.gradients(rows, rows, { adapter })
  expect(loss).toBeCloseTo(await packed.loss(rows, rows, { adapter }), 4)
  await packed.dispose()
})

describe('in a batch', () => {
  const rows = [
    prompt,
    [1, 411, 30, 12, 5, 6, 7, 8],
    [1, 9, 33, 70, 261, 8, 8, 9],
    [1, 9, 33, 70, 261, 8, 8, 9],
    [1, 300, 12, 45, 17, 44, 17, 99],
  ]

  it('rows of other adapters and of the base get what they get alone', async () => {
    const half = { mixture: [{ adapter: span!, weight: 0.5 }] }
    const adapters = [span, shift, plain, undefined, half]
    const together = await model.logits(rows, { adapters })
    const size = together.data.length / rows.length
    for (const [n, adapter] of adapters.entries()) {
      const { data } = await model.logits([rows[n]!], { adapter })
      expect(
        distance(together.data.subarray(n * size, (n + 1) * size), data),
        `row ${n}`,
      ).toBeLessThan(1e-4)
    }
    const written = await model.generateBatch(rows, { adapters, maxTokens: 8 })
    for (const [n, adapter] of adapters.entries()) {
      const [alone] = await model.generateBatch([rows[n]!], { adapter, maxTokens: 8 })
      expect(written[n]!.ids, `row ${n}`).toEqual(alone!.ids)
    }
  })

  it('a mixture begins to act at one token, or is refused', async () => {
    const twice = { mixture: [span!, span!].map((adapter) => ({ adapter, weight: 0.5 })) }
    const mixed = await model.logits([prompt], { adapter: twice })
    const one = await model.logits([prompt], { adapter: span })
    expect(distance(mixed.data, one.data)).toBeLessThan(1e-4)
    const unlike = { mixture: [span!, plain!].map((adapter) => ({ adapter, weight: 0.5 })) }
    await expect(model.logits([prompt], { adapter: unlike })).rejects.toThrow(UnsupportedError)
    await expect(model.logits([prompt], { adapter: unlike })).rejects.toThrow(
      /act from different tokens on/,
    )
    const without = {
      mixture: [
        ...unlike.mixture.slice(1),
        { adapter: span!, weight: 0 },
        { adapter: plain!, weight: 0.5 },
      ],
    }
    const sum = await model.logits([prompt], { adapter: without })
    expect(
      distance(sum.data, (await model.logits([prompt], { adapter: plain })).data),
    ).toBeLessThan(1e-4)
  })
})
