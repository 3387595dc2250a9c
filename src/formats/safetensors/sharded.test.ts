import { describe, expect, it } from 'vitest'
import { FormatError, MismatchError, NotFoundError } from '../../base/errors.ts'
import { f32, type Tensor } from '../../base/tensor.ts'
import { joinBytes } from '../../base/concat.ts'
import { memoryFolder } from '../reader.contract.ts'
import { encodeSafetensors } from './writer.ts'
import { openSharded } from './sharded.ts'

const file = (tensors: Record<string, Tensor>): Uint8Array =>
  joinBytes(encodeSafetensors(new Map(Object.entries(tensors))))
const index = (weightMap: unknown): string =>
  JSON.stringify({ metadata: { total_size: 12 }, weight_map: weightMap })
const first = file({ a: f32([1], [1]), b: f32([1], [2]) })
const second = file({ c: f32([1], [3]), extra: f32([1], [4]) })
const indexName = 'model.safetensors.index.json'

it('takes out what torch.compile put into names', async () => {
  const folder = memoryFolder({
    'model.safetensors': file({ '_orig_mod.model.norm.weight': f32([2], [1, 2]) }),
  })
  const store = await openSharded(folder)
  expect([...store.tensors.keys()]).toEqual(['model.norm.weight'])
  expect(await store.read('model.norm.weight')).toEqual(f32([2], [1, 2]))
})

it('gives the line that converts torch files', async () => {
  const folder = memoryFolder({ 'pytorch_model.bin': new Uint8Array(8) })
  await expect(openSharded(folder)).rejects.toThrow('.save_pretrained("converted")')
})

it('reports that a Git LFS pointer is one', async () => {
  const pointer = `version https://git-lfs.github.com/spec/v1\noid sha256:${'1'.repeat(64)}\nsize 9\n`
  for (const name of ['model.safetensors', indexName])
    await expect(openSharded(memoryFolder({ [name]: pointer }))).rejects.toThrow(
      `${name}: is a Git LFS pointer, not the file itself. Run "git lfs pull" in that folder.`,
    )
})

describe('openSharded', () => {
  it('opens one file where there is one', async () => {
    const store = await openSharded(memoryFolder({ 'model.safetensors': first }))
    expect([...store.tensors.keys()]).toEqual(['a', 'b'])
  })

  it('opens shards as one store, with what the index left out', async () => {
    const weightMap = { a: 'one.safetensors', b: 'one.safetensors', c: 'two.safetensors' }
    const store = await openSharded(
      memoryFolder({
        [indexName]: index(weightMap),
        'one.safetensors': first,
        'two.safetensors': second,
      }),
    )
    expect([...store.tensors.keys()]).toEqual(['a', 'b', 'c', 'extra'])
    expect(await store.read('c')).toEqual(f32([1], [3]))
    expect(await store.read('extra')).toEqual(f32([1], [4]))
    expect(store.metadata).toEqual({ total_size: 12 })
    await expect(store.read('d')).rejects.toThrow('folder: contains no tensor "d"')
  })

  it('lists every missing shard and tensor at once', async () => {
    const weightMap = {
      a: 'one.safetensors',
      lost: 'one.safetensors',
      c: 'two.safetensors',
      d: 'two.safetensors',
      e: 'three.safetensors',
    }
    const error = await openSharded(
      memoryFolder({ [indexName]: index(weightMap), 'one.safetensors': first }),
    ).catch((e: unknown) => e)
    expect(error).toBeInstanceOf(MismatchError)
    expect((error as MismatchError).mismatches.map(({ name }) => name)).toEqual([
      'lost',
      'two.safetensors',
      'three.safetensors',
    ])
  })

  it('closes the shards it opened when another is corrupt', async () => {
    let closed = 0
    const folder = memoryFolder({
      [indexName]: index({ a: 'one.safetensors', c: 'two.safetensors' }),
      'one.safetensors': first,
      'two.safetensors': first.slice(0, 20),
    })
    const watched = {
      name: folder.name,
      open: async (path: string) => {
        const source = await folder.open(path)
        return source && path === 'one.safetensors'
          ? { ...source, close: async () => void closed++ }
          : source
      },
    }
    await expect(openSharded(watched)).rejects.toThrow('folder/two.safetensors')
    expect(closed).toBe(1)
  })

  it('reports what it looked for where there is nothing', async () => {
    await expect(openSharded(memoryFolder({}))).rejects.toThrow(NotFoundError)
    await expect(openSharded(memoryFolder({}))).rejects.toThrow(
      `neither model.safetensors nor ${indexName}`,
    )
  })

  it.each([
    ['no JSON', '{', 'is not JSON'],
    ['no weight_map', '{}', 'has no weight_map'],
    ['null', 'null', 'has no weight_map'],
    [
      'a path that leads elsewhere',
      index({ a: '../other/model.safetensors' }),
      'tensor "a": "../other/model.safetensors" is not the plain name',
    ],
    ['a number for a name', index({ a: 3 }), 'tensor "a": "3" is not the plain name'],
  ])('refuses an index with %s', async (_, text, message) => {
    const folder = memoryFolder({ [indexName]: text })
    await expect(openSharded(folder)).rejects.toThrow(FormatError)
    await expect(openSharded(folder)).rejects.toThrow(message)
  })
})
