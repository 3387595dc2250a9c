// Several experts at once: mixtures compared with merged weights, and batches whose rows have
// different experts compared with each row alone.

import * as ort from 'onnxruntime-node'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type Adapter, loadAdapter, mergeWeights, type Mixture } from '../adapters/index.ts'
import { initializeAdapter } from '../adapters/create-adapter.ts'
import { getWeightAt } from '../adapters/serving/part-weight.ts'
import { OptionError, UnsupportedError } from '../base/errors.ts'
import { f32, type F32Tensor } from '../base/tensor.ts'
import { createOnnxRuntimeBackend } from '../compute/onnxruntime.ts'
import { type BaseModel, openBaseModel, readWeights } from '../graph/index.ts'
import { merge } from '../merge/index.ts'
import { openDirectory } from '../node/files/folder.ts'
import type { AdapterChoice } from './programs/row-groups.ts'
import { createModel, type Model } from './model.ts'

const backend = createOnnxRuntimeBackend(ort as never, { threads: 1 })
const parity = (path: string): string =>
  new URL(`../../test/parity/${path}`, import.meta.url).pathname
const stories = new URL('../catalogue/models/stories260k', import.meta.url).pathname
const ids = [
  [1, 403, 407, 261, 378],
  [1, 9, 33, 70, 261],
  [1, 300, 12, 45, 99],
]
const distance = (a: Float32Array, b: Float32Array): number =>
  a.length === b.length
    ? a.reduce((most, value, i) => Math.max(most, Math.abs(value - b[i]!)), 0)
    : Infinity

let base: BaseModel
let model: Model
let [first, second, bent]: Adapter[] = []
const loaded = new Map<string, Adapter>()

/** Random tensors, large enough to be seen. */
function adapterOf(targets: readonly string[], rank: number, seed: number): Adapter {
  const made = initializeAdapter('lora', { rank, targets, start: 'random' }, base.graph, { seed })
  const tensors = [...made.tensors].map(
    ([key, { shape, data }]) =>
      [
        key,
        f32(
          shape,
          (data as Float32Array).map((x) => 3 * x),
        ),
      ] as const,
  )
  return { ...made, tensors: new Map(tensors) }
}

beforeAll(async () => {
  base = await openBaseModel({ name: 'stories260k', folder: await openDirectory(stories) })
  model = createModel({ base, backend })
  first = adapterOf(['q_proj', 'v_proj', 'down_proj'], 4, 3)
  second = adapterOf(['q_proj', 'gate_proj'], 2, 4)
  bent = adapterOf(['embed_tokens', 'q_proj'], 2, 5)
  for (const name of ['dora_r6', 'ia3', 'lokr', 'prompt_8', 'prefix_6', 'more/vera']) {
    loaded.set(name, await loadAdapter(await openDirectory(parity(name))))
  }
})
afterAll(() => model.dispose())

const logits = async (choice: AdapterChoice = {}): Promise<Float32Array> =>
  (await model.logits(ids, choice)).data

/** Logits of a model whose weights are W + Σ w·(W_k − W). */
async function ofSummedWeights({ mixture }: Mixture): Promise<Float32Array> {
  const own = await readWeights(base)
  const changed = new Map<string, F32Tensor>(
    [...own].map(([name, { shape, data }]) => [name, f32(shape, data.slice())]),
  )
  for (const { adapter, weight } of mixture) {
    for (const [name, merged] of mergeWeights(base.graph, adapter, (wanted) => own.get(wanted)!)) {
      const sum = changed.get(name)!.data
      const before = own.get(name)!.data
      const after = merged.data
      for (let i = 0; i < sum.length; i++)
        sum[i]! += getWeightAt(weight, name) * (after[i]! - before[i]!)
    }
  }
  const weights = {
    ...base.weights,
    read: async (name: string) => changed.get(name)!,
    close: async () => {},
  }
  const merged = createModel({ base: { ...base, weights }, backend })
  const { data } = await merged.logits(ids)
  await merged.dispose()
  return data
}

describe('a mixture', () => {
  it('is the sum that merging by cat gives, and runs without a merge', async () => {
    const weights = [0.7, -0.4]
    const mixture = {
      mixture: [
        { adapter: first!, weight: 0.7 },
        { adapter: second!, weight: -0.4 },
      ],
    }
    const got = await logits({ adapter: mixture })
    const merged = merge([first!, second!], { method: 'cat', weights })
    expect(distance(got, await logits({ adapter: merged }))).toBeLessThan(1e-4)
    expect(distance(got, await logits({ adapter: first }))).toBeGreaterThan(1e-2)
  })

  it('of one adapter of weight 1 is the adapter, of weight 0 the base', async () => {
    const one = await logits({ adapter: { mixture: [{ adapter: first!, weight: 1 }] } })
    expect(distance(one, await logits({ adapter: first }))).toBe(0)
    const none = await logits({ adapter: { mixture: [{ adapter: first!, weight: 0 }] } })
    expect(distance(none, await logits())).toBe(0)
    const prompt = loaded.get('prompt_8')!
    const left = {
      mixture: [
        { adapter: first!, weight: 0.5 },
        { adapter: prompt, weight: 0 },
        { adapter: first!, weight: 0.5 },
      ],
    }
    expect(
      distance(await logits({ adapter: left }), await logits({ adapter: first })),
    ).toBeLessThan(1e-4)
  })

  it.each([
    ['dora_r6', 'lora'],
    ['dora_r6', 'dora_r6'],
    ['ia3', 'ia3'],
    ['ia3', 'lora'],
    ['lokr', 'more/vera'],
  ])('of %s and %s is the sum of their changes of the weights', async (one, other) => {
    const named = (name: string): Adapter => loaded.get(name) ?? first!
    const mixture = {
      mixture: [
        { adapter: named(one), weight: 0.6 },
        { adapter: named(other), weight: 0.9 },
      ],
    }
    const got = await logits({ adapter: mixture })
    expect(distance(got, await ofSummedWeights(mixture))).toBeLessThan(1e-4)
    expect(distance(got, await logits())).toBeGreaterThan(1e-4)
  })

  it.each([
    ['lora', 'lora'],
    ['dora_r6', 'dora_r6'],
    ['ia3', 'ia3'],
  ])('of %s and %s takes weights by layer', async (one, other) => {
    const named = (name: string): Adapter => loaded.get(name) ?? first!
    const mixture: Mixture = {
      mixture: [
        {
          adapter: named(one),
          weight: [
            { layers: [0, 1], weight: -0.5 },
            { layers: [4, 4], weight: 0.9 },
          ],
        },
        { adapter: other === 'lora' ? second! : named(other), weight: 0.4 },
      ],
    }
    const got = await logits({ adapter: mixture })
    expect(distance(got, await ofSummedWeights(mixture))).toBeLessThan(1e-4)
    const even = mixture.mixture.map(({ adapter }) => ({ adapter, weight: 0.4 }))
    expect(distance(got, await logits({ adapter: { mixture: even } }))).toBeGreaterThan(1e-4)
  })

  it('refuses layers that the model does not have, and invalid weights', async () => {
    const weighted = (weight: unknown) =>
      logits({ adapter: { mixture: [{ adapter: first!, weight: weight as number }] } })
    await expect(weighted([{ layers: [3, 5], weight: 1 }])).rejects.toThrow(
      /mixture\[0\]\.weight: layers 3-5: the model has 5 layers, 0-4/,
    )
    await expect(weighted([{ layers: [2, 1], weight: 1 }])).rejects.toThrow(/first and the last/)
    await expect(weighted([{ layers: [1, 2], weigth: 1 }])).rejects.toThrow(/no "weigth"/)
    await expect(weighted('0.5')).rejects.toThrow(/expected a finite number, or a list/)
  })

  it('writes, and is embedded and scored with', async () => {
    const adapter = {
      mixture: [
        { adapter: first!, weight: 0.5 },
        { adapter: second!, weight: 0.5 },
      ],
    }
    const merged = merge([first!, second!], { method: 'cat', weights: [0.5, 0.5] })
    expect(await model.loss(ids, ids, { adapter })).toBeCloseTo(
      await model.loss(ids, ids, { adapter: merged }),
      5,
    )
    const embedded = await model.embed(['The dog'], { adapter })
    expect(
      distance(embedded.data, (await model.embed(['The dog'], { adapter: merged })).data),
    ).toBeLessThan(1e-5)
    const [written] = await model.generateBatch([ids[0]!], { adapter, maxTokens: 8 })
    const [afterMerge] = await model.generateBatch([ids[0]!], { adapter: merged, maxTokens: 8 })
    expect(afterMerge!.ids).toEqual(written!.ids)
    const streamed = []
    for await (const event of model.generate(ids[0]!, { adapter, maxTokens: 8 }))
      streamed.push(event)
    expect(streamed.at(-1)).toMatchObject({ type: 'generation-end', ids: written!.ids })
  })

  it('is prepared before it is asked', async () => {
    const adapter = {
      mixture: [
        { adapter: first!, weight: 0.25 },
        { adapter: second!, weight: 2 },
      ],
    }
    await model.prepare(adapter)
    const merged = merge([first!, second!], { method: 'cat', weights: [0.25, 2] })
    expect(distance(await logits({ adapter }), await logits({ adapter: merged }))).toBeLessThan(
      1e-4,
    )
    await expect(model.prepare({ mixture: [] })).rejects.toThrow(OptionError)
  })

  it('refuses what has no exact form, and reports what to do', async () => {
    const mixed = (...adapters: Adapter[]) =>
      logits({ adapter: { mixture: adapters.map((adapter) => ({ adapter, weight: 0.5 })) } })
    await expect(mixed()).rejects.toThrow(OptionError)
    await expect(
      logits({ adapter: { mixture: [{ adapter: first!, weight: NaN }] } }),
    ).rejects.toThrow(/mixture\[0\]\.weight: got NaN, expected a finite number/)
    await expect(mixed(first!, loaded.get('prompt_8')!)).rejects.toThrow(UnsupportedError)
    await expect(mixed(first!, loaded.get('prompt_8')!)).rejects.toThrow(/number 2, prompt-tuning/)
    await expect(mixed(first!, bent!)).rejects.toThrow(/embed_tokens[^]*merge/)
    const outputs = initializeAdapter(
      'ia3',
      { targets: ['down_proj'], feedForward: [] },
      base.graph,
      {
        seed: 1,
      },
    )
    await expect(mixed(loaded.get('ia3')!, outputs)).rejects.toThrow(
      /down_proj: adapters that scale its inputs/,
    )
  })
})

describe('a batch of rows with different experts', () => {
  const alone = async (n: number, expert: AdapterChoice['adapter']) =>
    (await model.logits([ids[n]!], { adapter: expert })).data

  it.each([
    ['base rows beside LoRA of different ranks', [undefined, 'first', 'second']],
    ['LoRA, DoRA and the base', ['first', 'dora_r6', undefined]],
    ['IA3, LoKr, a mixture', ['ia3', 'lokr', 'mixture']],
    ['soft prompts beside rows that share a program', ['prompt_8', 'first', 'prefix_6']],
    ['a program of its own beside the base', ['bent', undefined, 'bent']],
    ['no adapter at all', [undefined, undefined, undefined]],
  ])('gives each row its own logits: %s', async (_, names) => {
    const mixture = {
      mixture: [
        { adapter: first!, weight: 0.3 },
        { adapter: loaded.get('dora_r6')!, weight: 0.5 },
      ],
    }
    const own = new Map<string, Adapter | Mixture>([
      ...loaded,
      ['first', first!],
      ['second', second!],
      ['bent', bent!],
      ['mixture', mixture],
    ])
    const adapters = names.map((name) => (name === undefined ? undefined : own.get(name)!))
    const together = await model.logits(ids, { adapters })
    const size = together.data.length / 3
    for (const [n, expert] of adapters.entries()) {
      const row = await alone(n, expert)
      expect(
        distance(together.data.subarray(n * size, (n + 1) * size), row),
        `row ${n}`,
      ).toBeLessThan(1e-4)
      expect(
        distance(row, await alone(n, undefined)) > 1e-3,
        `row ${n} differs from the base`,
      ).toBe(expert !== undefined)
    }
  })

  it('writes what each row writes alone, in the caller’s order, while rows end at different times', async () => {
    const prompts = [...ids, ids[0]!.slice(0, 3), ids[1]!.slice(0, 2)]
    const adapters = [loaded.get('prompt_8'), first, undefined, second, first]
    const stop = [' was', '.']
    const together = await model.generateBatch(prompts, { adapters, maxTokens: 16, stop })
    for (const [n, prompt] of prompts.entries()) {
      const [single] = await model.generateBatch([prompt], {
        adapter: adapters[n],
        maxTokens: 16,
        stop,
      })
      expect(together[n]!.ids, `row ${n}`).toEqual(single!.ids)
    }
    expect(new Set(together.map(({ ids: written }) => written.length)).size).toBeGreaterThan(1)
  })

  it('draws with seed + row, whatever group the row is in', async () => {
    const options = { temperature: 1, seed: 5, maxTokens: 6 }
    const [, inGroup] = await model.generateBatch([ids[0]!, ids[1]!], {
      ...options,
      adapters: [first, loaded.get('prompt_8')],
    })
    const [single] = await model.generateBatch([ids[1]!], {
      ...options,
      seed: 6,
      adapter: loaded.get('prompt_8'),
    })
    expect(inGroup!.ids).toEqual(single!.ids)
  })

  it('holds for packed, stacked layers too', async () => {
    const qwen = await openBaseModel({
      name: 'qwen2',
      folder: await openDirectory(parity('architectures/qwen2')),
    })
    const packed = createModel({ base: qwen, backend, weights: 'q4' })
    const adapters = [1, 2].map((seed) =>
      initializeAdapter(
        'lora',
        {
          rank: 2 + seed,
          targets: seed === 1 ? ['q_proj', 'v_proj'] : 'all-linear',
          start: 'random',
        },
        qwen.graph,
        {
          seed,
        },
      ),
    )
    const rows = [
      [5, 9, 33],
      [8, 4, 7],
      [5, 9, 33],
    ]
    const together = await packed.logits(rows, { adapters: [...adapters, undefined] })
    const size = together.data.length / 3
    for (const [n, row] of rows.entries()) {
      const { data } = await packed.logits([row], { adapter: adapters[n] })
      expect(
        distance(together.data.subarray(n * size, (n + 1) * size), data),
        `row ${n}`,
      ).toBeLessThan(1e-4)
    }
    expect(
      distance(together.data.subarray(0, size), together.data.subarray(2 * size)),
    ).toBeGreaterThan(1e-3)
    await packed.dispose()
  })

  it('refuses a list of another length, and both forms at once', async () => {
    await expect(logits({ adapters: [first] })).rejects.toThrow(/1 experts for 3 rows/)
    await expect(logits({ adapter: first, adapters: [first, first, first] })).rejects.toThrow(
      OptionError,
    )
  })
})
