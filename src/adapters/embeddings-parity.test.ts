// Adapters that hold a whole embedding, against PEFT: beside a LoRA, and as modules_to_save of a
// tied model.

import { readFile } from 'node:fs/promises'
import { beforeAll, describe, expect, it } from 'vitest'
import { MismatchError, UnsupportedError } from '../base/errors.ts'
import { f32, type Tensor } from '../base/tensor.ts'
import { toFloat32 } from '../formats/convert.ts'
import {
  type Base,
  feedsFor,
  feedsWith,
  folderAt,
  furthest,
  logitsOf,
  memorySink,
  parity,
  readTensors,
  rowsOf,
  storiesBase,
} from '../../test/support/adapters.ts'
import { type Adapter, checkAdapter, listParameterSpecs } from './adapter.ts'
import { attach } from './attach.ts'
import { dropEqualEmbeddings } from './base-copy.ts'
import { initializeAdapter } from './create-adapter.ts'
import { encodeGgufAdapter } from './files/gguf.ts'
import { loadAdapter, saveAdapter } from './files/peft.ts'
import { mergeWeights } from './merge-weights.ts'

const embedding = 'base_model.model.model.embed_tokens.weight'
const head = 'base_model.model.lm_head.weight'

let base: Base
beforeAll(async () => {
  base = await storiesBase()
})

const logitsWith = async (adapter: Adapter, ids: number[][]): Promise<Float32Array> => {
  const adapted = attach(base.model, adapter)
  return logitsOf(adapted, feedsWith(base, adapted, adapter, { ids, asked: ids[0]!.length }))
}

describe.each(['embedding_beside', 'saved_both', 'saved_embedding'])('found/%s', (name) => {
  const directory = new URL(`found/${name}/`, parity)
  let adapter: Adapter
  let expected: ReadonlyMap<string, Tensor>
  let ids: number[][]
  beforeAll(async () => {
    adapter = await loadAdapter(folderAt(directory))
    expected = await readTensors(new URL('expected.safetensors', directory))
    ids = rowsOf(expected.get('input_ids')!)
  })

  it('fits the model and gives the same logits', async () => {
    checkAdapter(adapter, base.model, base.weightOf)
    expect(
      furthest(await logitsWith(adapter, ids), toFloat32(expected.get('logits')!)),
    ).toBeLessThan(1e-3)
  })

  it('is saved as it was loaded', async () => {
    const sink = memorySink()
    await saveAdapter(adapter, sink)
    const original = await readFile(new URL('adapter_model.safetensors', directory))
    expect(Buffer.compare(sink.files.get('adapter_model.safetensors')!, original)).toBe(0)
    expect(await loadAdapter(sink)).toEqual(adapter)
  })

  it('is refused by GGUF in plain words', () => {
    expect(() => encodeGgufAdapter(adapter, base.model)).toThrow(
      'model.embed_tokens: its weight is saved whole',
    )
  })
})

describe('merging a whole embedding', () => {
  const read = (name: string) => loadAdapter(folderAt(new URL(`found/${name}/`, parity)))

  it('changes the one weight of a tied model where the adapter has one', async () => {
    const expected = await readTensors(
      new URL('found/embedding_beside/expected.safetensors', parity),
    )
    const merged = mergeWeights(base.model, await read('embedding_beside'), base.weightOf)
    const feeds = new Map([...feedsFor(base, rowsOf(expected.get('input_ids')!)), ...merged])
    expect(
      furthest(await logitsOf(base.model, feeds), toFloat32(expected.get('logits')!)),
    ).toBeLessThan(1e-3)
  })

  it.each(['saved_both', 'saved_embedding'])('is refused for %s, two copies', async (name) => {
    const adapter = await read(name)
    const merge = () => new Map(mergeWeights(base.model, adapter, base.weightOf))
    expect(merge).toThrow(UnsupportedError)
    expect(merge).toThrow('merging would change both. Untie them first.')
  })
})

describe('an embedding next to a LoRA', () => {
  const withTensors = (tensors: Record<string, Tensor>): Adapter => {
    const plain = initializeAdapter('lora', { targets: ['q_proj'], start: 'random' }, base.model)
    const embeddings = Object.keys(tensors).map((key) => key.slice(17, -'.weight'.length))
    return {
      ...plain,
      config: { ...plain.config, embeddings },
      tensors: new Map([...plain.tensors, ...Object.entries(tensors)]),
    }
  }
  const own = (): Tensor => base.weightOf('model.embed_tokens.weight')
  const drop = (adapter: Adapter) =>
    dropEqualEmbeddings(adapter, base.model, async (name) => base.weightOf(name))

  it('changes nothing where it is the base’s, and is left out', async () => {
    const adapter = withTensors({ [embedding]: own(), [head]: own() })
    const dropped = await drop(adapter)
    expect(dropped.config.embeddings).toBeUndefined()
    expect([...dropped.tensors.keys()]).toHaveLength(10)
    const ids = [[1, 5, 9, 30]]
    expect(await logitsWith(adapter, ids)).toEqual(await logitsWith(dropped, ids))
  })

  it('is not trained, as the base is not', () => {
    const adapter = withTensors({ [embedding]: own() })
    const specs = listParameterSpecs(base.model, adapter)
    expect(specs.get(embedding)!.trainable).toBe(false)
    const config = { ...adapter.config, embeddings: [], modulesToSave: ['embed_tokens'] }
    const saved = listParameterSpecs(base.model, { ...adapter, config })
    expect(saved.get(embedding)!.trainable).toBe(true)
  })

  it('stays where one row differs', async () => {
    const changed = f32(own().shape, toFloat32(own()).slice())
    changed.data[7 * 64] = changed.data[7 * 64]! * 1.0001
    const adapter = withTensors({ [embedding]: changed })
    expect(await drop(adapter)).toBe(adapter)
  })

  it('is refused for another vocabulary, with both sizes and what to do', () => {
    const grown = f32([520, 64])
    const check = (): void =>
      checkAdapter(withTensors({ [embedding]: grown, [head]: grown }), base.model)
    expect(check).toThrow(MismatchError)
    expect(check).toThrow(
      'It was made on a base with a vocabulary of 520 tokens, and this one has 512. Its config names no base. ' +
        'Give that base, or give this one the tokens in Python: model.resize_token_embeddings(520), then save it.',
    )
  })
})

describe('trained tokens', () => {
  const config = { targets: ['q_proj'], trainableTokens: [5, 6] }

  it('start as rows of the base and change nothing', async () => {
    const adapter = initializeAdapter('lora', config, base.model, { weightOf: base.weightOf })
    const ids = [[1, 5, 6, 30]]
    const plain = await logitsOf(base.model, feedsFor(base, ids))
    expect(furthest(await logitsWith(adapter, ids), plain)).toBeLessThan(1e-5)
  })

  it('are refused outside the vocabulary and in a target', () => {
    const make = (changes: object) => () =>
      initializeAdapter('lora', { ...config, ...changes }, base.model, { weightOf: base.weightOf })
    expect(make({ trainableTokens: [5, 600] })).toThrow(
      'there is no token 600, because the vocabulary of this base has 512 tokens',
    )
    expect(make({ trainableTokens: [5, 5] })).toThrow('token 5 is named twice')
    expect(make({ targets: ['embed_tokens'] })).toThrow('is a target and has trained tokens')
  })
})
