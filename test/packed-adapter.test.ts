// A packed adapter in every place that takes adapters: the same results as its unpacked form.

import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import {
  type Adapter,
  createAdapter,
  encodeGgufAdapter,
  mergeWeights,
} from '../src/adapters/index.ts'
import { countAdapterBytes } from '../src/adapters/packed/pack-adapter.ts'
import { fromMicroLora, toMicroLora } from '../src/adapters/micro-lora.ts'
import { readWeights } from '../src/graph/index.ts'
import {
  compress,
  type LoadedModel,
  loadAdapter,
  loadModel,
  merge,
  packAdapter,
  saveAdapter,
  train,
  unpackAdapter,
} from '../src/node/index.ts'

let model: LoadedModel
let folder: string
let adapters: { readonly bits: number; readonly packed: Adapter; readonly plain: Adapter }[] = []
const prompts = ['Lily had a', 'Once upon a time']
const greedy = { maxTokens: 12, temperature: 0 }

beforeAll(async () => {
  model = await loadModel('stories260k')
  folder = await mkdtemp(join(tmpdir(), 'graft-packed-'))
  const made = await createAdapter(
    'lora',
    { rank: 8, alpha: 64, targets: 'all-linear', start: 'random' },
    model,
  )
  adapters = ([16, 8, 4] as const).map((bits) => {
    const packed = packAdapter(made, { bits })
    return { bits, packed, plain: unpackAdapter(packed) }
  })
})
afterAll(async () => {
  await model.dispose()
  await rm(folder, { recursive: true, force: true })
})

describe.each([0, 1, 2])('a packed adapter, form %d of 16, 8 and 4 bits', (at) => {
  const texts = async (adapter: object): Promise<string[]> => {
    const answers = await model.generateBatch(prompts, { ...greedy, adapter: adapter as Adapter })
    return answers.map(({ text }) => text)
  }

  it('answers as its unpacked form, alone and in mixtures, and not as the base', async () => {
    const { packed, plain } = adapters[at]!
    const wanted = await texts(plain)
    expect(await texts(packed)).toEqual(wanted)
    const base = await model.generateBatch(prompts, greedy)
    expect(base.map(({ text }) => text)).not.toEqual(wanted)
    const mixtureOf = (adapter: Adapter) => ({ mixture: [{ adapter, weight: 0.5 }] })
    expect(await texts(mixtureOf(packed))).toEqual(await texts(mixtureOf(plain)))
    const logits = (adapter: Adapter) => model.nextLogits([[1, 403]], 'exact', { adapter })
    expect(await logits(packed)).toEqual(await logits(plain))
  })

  it('merges, compresses and converts as its unpacked form', async () => {
    const { packed, plain } = adapters[at]!
    const merged = (adapter: Adapter) => merge([adapter, plain], { weights: [0.3, 0.7] })
    expect(await merged(packed)).toEqual(await merged(plain))
    const small = async (adapter: Adapter) => (await compress(adapter, { rank: 2 })).adapter
    expect(await small(packed)).toEqual(await small(plain))
    const graph = model.base.graph
    const weights = await readWeights(model.base)
    const into = (adapter: Adapter) => [
      ...mergeWeights(graph, adapter, (name) => weights.get(name)!),
    ]
    expect(into(packed)).toEqual(into(plain))
    const gguf = (adapter: Adapter) => [...encodeGgufAdapter(adapter, graph)]
    expect(gguf(packed)).toEqual(gguf(plain))
    const [first, second] = [toMicroLora(packed), toMicroLora(plain)]
    expect(fromMicroLora(first)).toEqual(fromMicroLora(second))
  })

  it('continues training as its unpacked form, and stays as it was', async () => {
    const { packed, plain } = adapters[at]!
    const data = [{ prompt: 'Lily:', completion: ' a cat.' }]
    const before = new Map(packed.tensors)
    const trained = async (adapter: Adapter) =>
      (await train({ model, data, adapter, steps: 3, learningRate: 1e-2 }).done).adapter
    const [first, second] = [await trained(packed), await trained(plain)]
    expect(first.tensors).toEqual(second.tensors)
    expect(first.tensors).not.toEqual(new Map(plain.tensors))
    expect(new Map(packed.tensors)).toEqual(before)
  })
})

describe.each([8, 4] as const)('a folder in %d bits', (bits) => {
  it('is loaded packed, saved again to the same bytes, and left with one file of tensors', async () => {
    const { packed, plain } = adapters.find((one) => one.bits === bits)!
    const first = join(folder, `first-${bits}`)
    const second = join(folder, `second-${bits}`)
    await saveAdapter(packed, first)
    const loaded = await loadAdapter(first, { packed: true })
    expect(countAdapterBytes(loaded)).toBe(countAdapterBytes(packed))
    expect(new Map(loaded.tensors)).toEqual(new Map(packed.tensors))
    expect((await loadAdapter(first)).tensors).toEqual(plain.tensors)
    await saveAdapter(plain, second)
    await saveAdapter(loaded, second)
    const names = ['adapter_config.json', `adapter_model.int${bits}.safetensors`]
    for (const path of [first, second]) expect((await readdir(path)).sort()).toEqual(names)
    for (const name of names)
      expect(await readFile(join(second, name))).toEqual(await readFile(join(first, name)))
    await saveAdapter(loaded, second, { dtype: 'f32' })
    expect(await readdir(second)).toContain('adapter_model.safetensors')
    expect((await loadAdapter(second)).tensors).toEqual(plain.tensors)
  })
  it('that is torn is refused when it is loaded packed', async () => {
    const path = join(folder, `torn-${bits}`)
    await saveAdapter(adapters.find((one) => one.bits === bits)!.packed, path)
    const file = join(path, `adapter_model.int${bits}.safetensors`)
    const bytes = await readFile(file)
    await writeFile(file, bytes.subarray(0, bytes.length - 7))
    await expect(loadAdapter(path, { packed: true })).rejects.toThrow(file)
  })
})

it('loadAdapter refuses a misspelt option and a value that is no flag', async () => {
  await expect(loadAdapter(folder, { pack: true } as never)).rejects.toThrow('"packed"')
  await expect(loadAdapter(folder, { packed: 8 } as never)).rejects.toThrow('packed: got 8')
})
