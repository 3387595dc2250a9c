// GGUF LoRA adapters in llama.cpp itself: what Graft writes gives the same greedy tokens there, and
// what llama.cpp's converter writes, here. On an f32 base: on packed ones the two round
// differently, and even the bare base differs after some tokens.

import { readFile, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { type Adapter, encodeGgufAdapter, loadGgufAdapter } from '../src/adapters/index.ts'
import { initializeAdapter } from '../src/adapters/create-adapter.ts'
import { f32 } from '../src/base/tensor.ts'
import { createFileSink } from '../src/node/files/file-sink.ts'
import { openFileSource } from '../src/node/files/file-source.ts'
import { loadAdapter, loadModel, type LoadedModel } from '../src/node/index.ts'
import { llamaCpp, llamaGreedy } from './support/llama-cpp.ts'
import { scratchFolder } from './support/cli.ts'
import { storiesGguf } from './support/stories-gguf.ts'

const golden = new URL('golden/gguf-lora/', import.meta.url).pathname
const parity = (name: string): Promise<Adapter> =>
  loadAdapter(new URL(`parity/${name}`, import.meta.url).pathname)
const prompts = ['Once upon a time', 'The cat', 'Lily and Tom saw a big', 'One day']
const tokens = 24

const scratch = scratchFolder()
let missing: string | undefined
let folder = ''
let model: LoadedModel
let ids: number[][]
const bases = { model: join(scratch.path, 'base.gguf') }

beforeAll(async () => {
  const llama = await llamaCpp()
  if ('reason' in llama) missing = llama.reason
  else folder = llama.folder
  model = await loadModel('stories260k')
  ids = prompts.map((prompt) => model.encode(prompt))
  await createFileSink(scratch.path).write('base.gguf', await storiesGguf(model.base))
}, 120_000)
afterAll(async () => {
  await model?.dispose()
  scratch.remove()
})

/** What Graft writes by the exact path, the end-of-text token included as llama.cpp gives it. */
async function ours(adapter?: Adapter): Promise<number[][]> {
  const answers = await model.generateBatch(ids, { adapter, maxTokens: tokens, exact: true })
  return answers.map(({ ids: answer, reason }) =>
    reason === 'eos' ? [...answer, model.config.eosTokenIds[0]!] : [...answer],
  )
}
const theirs = (lora?: string): Promise<number[][]> =>
  llamaGreedy(folder, { ...bases, ...(lora && { lora }), prompts: ids, tokens })

/** Writes the adapter as GGUF; the path. */
async function written(
  name: string,
  adapter: Adapter,
  dtype: 'f32' | 'f16' = 'f32',
): Promise<string> {
  await createFileSink(scratch.path).write(
    `${name}.gguf`,
    encodeGgufAdapter(adapter, model.base.graph, { dtype }),
  )
  return join(scratch.path, `${name}.gguf`)
}

/** Random tensors, small enough that the model goes on writing words. */
function made(options: Readonly<Record<string, unknown>>, size: number): Adapter {
  const adapter = initializeAdapter('lora', { start: 'random', ...options }, model.base.graph, {
    seed: 6,
  })
  const tensors = [...adapter.tensors].map(
    ([key, { shape, data }]) =>
      [
        key,
        f32(
          shape,
          (data as Float32Array).map((x) => size * x),
        ),
      ] as const,
  )
  return { ...adapter, tensors: new Map(tensors) }
}

describe('llama.cpp writes the same tokens', () => {
  beforeEach((context) => {
    if (missing !== undefined) context.skip(missing)
  })

  it('with the bare base', async () => {
    expect(await theirs()).toEqual(await ours())
  })

  it.each(['lora_qv_r8', 'lora_layers'])(
    'with %s, made by PEFT and written by Graft',
    async (name) => {
      const adapter = await parity(name)
      const expected = await ours(adapter)
      expect(await theirs(await written(name, adapter))).toEqual(expected)
      expect(expected).not.toEqual(await ours())
    },
  )

  it('with every linear layer, ranks and scales of their own, in f32 and f16', async () => {
    const adapter = made(
      {
        rank: 4,
        targets: 'all-linear',
        rankPattern: { k_proj: 2, down_proj: 7 },
        alphaPattern: { v_proj: 3 },
      },
      0.5,
    )
    const expected = await ours(adapter)
    expect(expected).not.toEqual(await ours())
    expect(await theirs(await written('all', adapter))).toEqual(expected)
    const half = await written('half', adapter, 'f16')
    const read = await loadGgufAdapter(await openFileSource(half), model.base.graph)
    expect(await theirs(half)).toEqual(await ours(read))
    expect((await stat(half)).size).toBeLessThan(
      0.7 * (await stat(await written('all', adapter))).size,
    )
  })

  it('with adapters of the embedding and of the head, where these are two weights', async () => {
    const adapter = await parity('lora_extra/embed_head')
    const graph = { ...model.base.graph, config: { ...model.config, tiedEmbeddings: false } }
    const sink = createFileSink(scratch.path)
    await sink.write('untied.gguf', await storiesGguf(model.base, { untied: true }))
    await sink.write('ends.gguf', encodeGgufAdapter(adapter, graph))
    const [base, lora] = ['untied.gguf', 'ends.gguf'].map((name) => join(scratch.path, name)) as [
      string,
      string,
    ]
    expect(await llamaGreedy(folder, { model: base, lora, prompts: ids, tokens })).toEqual(
      await ours(adapter),
    )
  })

  it('with an adapter that its own converter wrote, which Graft reads', async () => {
    const path = join(golden, 'lora_qv_r8.gguf')
    const adapter = await loadGgufAdapter(await openFileSource(path), model.base.graph)
    const expected = await ours(adapter)
    expect(await theirs(path)).toEqual(expected)
    expect(expected).toEqual(await ours(await parity('lora_qv_r8')))
  })
})

it('Graft writes the very tensors that the converter writes', async () => {
  const path = join(golden, 'lora_qv_r8.gguf')
  const own = await loadGgufAdapter(
    await openFileSource(await written('own', await parity('lora_qv_r8'))),
    model.base.graph,
  )
  const converted = await loadGgufAdapter(await openFileSource(path), model.base.graph)
  expect(own.config).toEqual(converted.config)
  expect([...own.tensors.keys()].sort()).toEqual([...converted.tensors.keys()].sort())
  for (const [key, tensor] of own.tensors) expect(tensor, key).toEqual(converted.tensors.get(key))
  expect((await readFile(path)).length).toBeGreaterThan(0)
})
