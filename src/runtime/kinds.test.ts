// Every kind of adapter through the serving programs, compared with PEFT: logits, loss, gradients,
// and one token after the other.

import { readFile } from 'node:fs/promises'
import * as ort from 'onnxruntime-node'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type Adapter, loadAdapter } from '../adapters/index.ts'
import { f32, type Tensor } from '../base/tensor.ts'
import { createOnnxRuntimeBackend } from '../compute/onnxruntime.ts'
import { createMemorySource } from '../formats/memory-source.ts'
import { openSafetensors } from '../formats/safetensors/reader.ts'
import { openBaseModel } from '../graph/index.ts'
import { openDirectory } from '../node/files/folder.ts'
import { createModel, type Model } from './model.ts'

const backend = createOnnxRuntimeBackend(ort as never, { threads: 1 })
const parity = (path: string): string =>
  new URL(`../../test/parity/${path}`, import.meta.url).pathname

async function readTensors(path: string): Promise<Map<string, Tensor>> {
  const store = await openSafetensors(createMemorySource(path, await readFile(parity(path))))
  const tensors = new Map<string, Tensor>()
  for (const name of store.tensors.keys()) tensors.set(name, await store.read(name))
  return tensors
}

function rowsOf({ shape, data }: Tensor): number[][] {
  const values = Array.from(data as BigInt64Array, Number)
  return Array.from({ length: shape[0]! }, (_, n) =>
    values.slice(n * shape[1]!, (n + 1) * shape[1]!),
  )
}

const distance = (a: ArrayLike<number>, b: ArrayLike<number>): number =>
  a.length === b.length
    ? Array.from(a).reduce((most, value, i) => Math.max(most, Math.abs(value - b[i]!)), 0)
    : Infinity

/** The last T of each row's predictions: a soft prompt's own places are not asked for. */
function lastRows({ shape, data }: Tensor, tokens: number): Float32Array {
  const [rows, given, width] = shape as [number, number, number]
  const parts = Array.from({ length: rows }, (_, n) => [
    ...(data as Float32Array).subarray(
      (n * given + given - tokens) * width,
      (n + 1) * given * width,
    ),
  ])
  return Float32Array.from(parts.flat())
}

const stories = new URL('../catalogue/models/stories260k', import.meta.url).pathname
let model: Model
beforeAll(async () => {
  model = createModel({
    base: await openBaseModel({ name: 'stories260k', folder: await openDirectory(stories) }),
    backend,
  })
})
afterAll(() => model.dispose())

/** Cases of PEFT on this base that act on the embedding or the head. */
const tables = ['kind', 'kind_head', 'tokens_same', 'tokens_two', 'targets', 'targets_regex']

const cases = [
  'lora_qv_r8',
  'dora_r6',
  'ia3',
  'lokr',
  'lokr_both',
  'more/loha',
  'more/vera',
  'more/modules_to_save',
  'prompt_8',
  'prefix_6',
  'found/tokens',
  ...tables.map((name) => `tied/${name}`),
]
describe.each(cases)('%s', (name) => {
  let adapter: Adapter
  let expected: Map<string, Tensor>
  let [ids, labels]: number[][][] = []
  beforeAll(async () => {
    adapter = await loadAdapter(await openDirectory(parity(name)))
    expected = await readTensors(`${name}/expected.safetensors`)
    const inputs = expected.has('input_ids') ? expected : await readTensors('base.safetensors')
    ids = rowsOf(inputs.get('input_ids')!)
    labels = rowsOf(inputs.get('labels')!)
  })

  it('gives the logits and the loss of PEFT', async () => {
    const logits = await model.logits(ids!, { adapter })
    expect(logits.shape).toEqual([ids!.length, ids![0]!.length, 512])
    expect(distance(logits.data, lastRows(expected.get('logits')!, ids![0]!.length))).toBeLessThan(
      1e-3,
    )
    expect(await model.loss(ids!, labels!, { adapter })).toBeCloseTo(
      (expected.get('loss')!.data as Float32Array)[0]!,
      4,
    )
  })

  it('gives its gradients', async () => {
    const { loss, gradients } = await model.gradients(ids!, labels!, { adapter })
    expect(loss).toBeCloseTo((expected.get('loss')!.data as Float32Array)[0]!, 4)
    const off = [...gradients].filter(([key, { data }]) => {
      const wanted = expected.get(`grad.${key}`)!.data as Float32Array
      return !(distance(data as Float32Array, wanted) < 1e-4 * Math.max(...wanted.map(Math.abs)))
    })
    expect(off.map(([key]) => key)).toEqual([])
    expect(gradients.size).toBe(
      [...expected.keys()].filter((key) => key.startsWith('grad.')).length,
    )
  })

  it('gives the same answer alone, in a batch, and from the whole text at once', async () => {
    const prompts = [ids![0]!.slice(0, 6), ids![0]!.slice(0, 3)]
    const options = { adapter, maxTokens: 4, temperature: 0 }
    const answers = await model.generateBatch(prompts, options)
    for (const [n, prompt] of prompts.entries()) {
      const { ids: answer } = answers[n]!
      expect(answer.length).toBeGreaterThan(0)
      const [alone] = await model.generateBatch([prompt], options)
      expect(alone!.ids).toEqual(answer)
      const whole = await model.logits([[...prompt, ...answer]], { adapter })
      const best = answer.map((_, t) => {
        const row = whole.data.subarray((prompt.length - 1 + t) * 512, (prompt.length + t) * 512)
        return row.indexOf(Math.max(...row))
      })
      expect(best).toEqual(answer)
    }
  })
})

it('refuses an adapter whose copy of the embedding is not the base’s, which would be used instead', async () => {
  const adapter = await loadAdapter(await openDirectory(parity('lora_extra/embed_head')))
  const ids = [[1, 5, 9, 30]]
  await expect(model.logits(ids, { adapter })).resolves.toBeDefined()
  const key = 'base_model.model.model.embed_tokens.base_layer.weight'
  const { shape, data } = adapter.tensors.get(key)!
  const moved = f32(
    shape,
    (data as Float32Array).map((value) => 1.05 * value),
  )
  const tensors = new Map([...adapter.tensors, [key, moved]])
  await expect(model.logits(ids, { adapter: { ...adapter, tensors } })).rejects.toThrow(
    "embed_tokens.base_layer.weight: got a weight 5.00 % away from the base's",
  )
})
