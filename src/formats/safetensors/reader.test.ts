import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { elementBytes, type PlainType } from '../../base/dtype.ts'
import {
  FormatError,
  NotFoundError,
  OptionError,
  ShapeError,
  UnsupportedError,
} from '../../base/errors.ts'
import { joinBytes } from '../../base/concat.ts'
import { f32, fromBytes, i64, type Tensor } from '../../base/tensor.ts'
import { createMemorySource } from '../memory-source.ts'
import { openSafetensors } from './reader.ts'
import { safetensorsNames } from './types.ts'
import { encodeSafetensors } from './writer.ts'
import type { TensorStore } from '../tensor-store.ts'
import { damaged, readsOrRefuses, watchedSource } from '../reader.contract.ts'

const open = (bytes: Uint8Array): Promise<TensorStore> =>
  openSafetensors(createMemorySource('model.safetensors', bytes))

/** A file with this header and so many bytes behind it. */
function fileOf(header: unknown, dataBytes: number): Uint8Array {
  const json = new TextEncoder().encode(
    typeof header === 'string' ? header : JSON.stringify(header),
  )
  const bytes = new Uint8Array(8 + json.length + dataBytes)
  new DataView(bytes.buffer).setBigUint64(0, BigInt(json.length), true)
  bytes.set(json, 8)
  return bytes
}

const everyType = new Map<string, Tensor>(
  (Object.keys(safetensorsNames) as PlainType[]).map((dtype) => [
    `t.${dtype}`,
    fromBytes(
      dtype,
      [2, 1],
      Uint8Array.from({ length: 2 * elementBytes[dtype] }, (_, i) => i + 1),
    ),
  ]),
)

describe('round trip', () => {
  it('keeps every element type, shape and byte', async () => {
    const store = await open(joinBytes(encodeSafetensors(everyType)))
    expect([...store.tensors.keys()]).toEqual([...everyType.keys()]) // the fixture is in the writer's order: widest first
    for (const [name, tensor] of everyType) expect(await store.read(name)).toEqual(tensor)
  })

  it('keeps scalars, empty tensors, odd names and metadata', async () => {
    const tensors = new Map<string, Tensor>([
      ['scalar', f32([], [3])],
      ['empty', f32([0, 7])],
      ['__proto__', f32([1], [1])],
      ['1', f32([1], [2])],
      ['ünï"\\', i64([2], [5, -6])],
    ])
    const store = await open(joinBytes(encodeSafetensors(tensors, { format: 'pt' })))
    expect(store.metadata).toEqual({ format: 'pt' })
    expect(new Set(store.tensors.keys())).toEqual(new Set(tensors.keys()))
    for (const [name, tensor] of tensors) expect(await store.read(name)).toEqual(tensor)
    expect(({} as Record<string, unknown>)['dtype']).toBeUndefined()
  })

  it('writes what the reference library writes, byte for byte', () => {
    // safetensors 0.8.0: save({'b': torch.tensor([[1., 2.]]), 'a': torch.tensor([3.]), 'c':
    // torch.tensor([7])}, {'format': 'pt'})
    const header =
      '{"__metadata__":{"format":"pt"},"c":{"dtype":"I64","shape":[1],"data_offsets":[0,8]},' +
      '"a":{"dtype":"F32","shape":[1],"data_offsets":[8,12]},"b":{"dtype":"F32","shape":[1,2],"data_offsets":[12,20]}}'
    const data = Uint8Array.of(
      7,
      0,
      0,
      0,
      0,
      0,
      0,
      0,
      0,
      0,
      0x40,
      0x40,
      0,
      0,
      0x80,
      0x3f,
      0,
      0,
      0,
      0x40,
    ) // 7n, 3, 1, 2
    const tensors = new Map<string, Tensor>([
      ['b', f32([1, 2], [1, 2])],
      ['a', f32([1], [3])],
      ['c', i64([1], [7])],
    ])
    expect(joinBytes(encodeSafetensors(tensors, { format: 'pt' }))).toEqual(
      joinBytes([fileOf(header.padEnd(200), 0), data]),
    )
  })

  it('leaves the tensors as views and reads only what is asked for', async () => {
    const bytes = joinBytes(
      encodeSafetensors(
        new Map([
          ['a', f32([2], [1, 2])],
          ['b', f32([1], [3])],
        ]),
      ),
    )
    const source = watchedSource(bytes)
    const store = await openSafetensors(source)
    const headerBytes = source.lengths.reduce((sum, length) => sum + length, 0)
    expect(headerBytes).toBe(bytes.length - 12)
    expect((await store.read('b')).data.buffer).toBe(bytes.buffer)
    expect(source.lengths.at(-1)).toBe(4)
    await store.close()
    expect(source.closed).toBe(true)
  })

  it('names an unknown tensor', async () => {
    const store = await open(joinBytes(encodeSafetensors(new Map([['a', f32([1])]]))))
    await expect(store.read('b')).rejects.toThrow(NotFoundError)
    await expect(store.read('b')).rejects.toThrow('model.safetensors: contains no tensor "b"')
  })
})

describe('corrupt files', () => {
  const entry = (
    begin: number,
    end: number,
    shape: unknown = [(end - begin) / 4],
    dtype: unknown = 'F32',
  ): object => ({
    dtype,
    shape,
    data_offsets: [begin, end],
  })
  const claiming = (length: bigint): Uint8Array => {
    const bytes = fileOf({}, 0)
    new DataView(bytes.buffer).setBigUint64(0, length, true)
    return bytes
  }
  const cases: [string, Uint8Array, string][] = [
    ['empty', new Uint8Array(0), 'it has 0 bytes'],
    ['a length beyond the file', claiming(3n), 'its header claims 3 bytes, but only 2 follow'],
    ['a 2 GB header', claiming(2n ** 31n), 'its header claims 2147483648 bytes'],
    [
      'the largest length',
      claiming(2n ** 64n - 1n),
      'its header claims 18446744073709551615 bytes',
    ],
    ['no JSON', fileOf('{"a":', 0), 'its header is not JSON'],
    ['invalid UTF-8', fileOf('{}', 0).fill(0xff, 8), 'its header is not JSON'],
    ['a list', fileOf([], 0), 'its header is not a JSON object'],
    [
      'a deep list',
      fileOf('['.repeat(200_000) + ']'.repeat(200_000), 0),
      'its header nests more than 8 deep',
    ],
    [
      'a repeated tensor',
      fileOf(
        '{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}',
        4,
      ),
      'contains the key "a" twice',
    ],
    ['metadata of numbers', fileOf({ __metadata__: { a: 1 } }, 0), '__metadata__'],
    ['an entry that is not an object', fileOf({ w: 3 }, 0), '"w": is not an object'],
    ['no dtype', fileOf({ w: { shape: [1], data_offsets: [0, 4] } }, 4), '"w": has no dtype'],
    [
      'a negative dimension',
      fileOf({ w: entry(0, 4, [-1]) }, 4),
      '"w": shape must be a list of integers ≥ 0, got [-1]',
    ],
    ['a fractional dimension', fileOf({ w: entry(0, 4, [0.5]) }, 4), '"w": shape must be'],
    [
      'a nested shape',
      fileOf({ w: entry(0, 4, [[1]]) }, 4),
      '"w": shape must be a list of integers ≥ 0, got […]',
    ],
    [
      'an overflowing product',
      fileOf({ w: entry(0, 4, [2 ** 40, 2 ** 40]) }, 4),
      '"w": the product of its shape [1099511627776, 1099511627776] overflows',
    ],
    [
      'offsets that are no pair',
      fileOf({ w: { dtype: 'F32', shape: [1], data_offsets: [0] } }, 4),
      '"w": data_offsets must be two',
    ],
    [
      'offsets the wrong way round',
      fileOf({ w: entry(4, 0, [1]) }, 4),
      '"w": data_offsets end before they begin',
    ],
    [
      'a shape that does not fit its bytes',
      fileOf({ w: entry(0, 4, [2]) }, 4),
      '"w": F32 [2] takes 8 bytes, but data_offsets [0, 4] span 4',
    ],
    ['offsets past the end', fileOf({ w: entry(0, 8) }, 4), '"w": ends at byte'],
    ['an overlap', fileOf({ v: entry(0, 8), w: entry(4, 12) }, 12), '"w": begins at byte'],
    ['a hole', fileOf({ v: entry(0, 4), w: entry(8, 12) }, 12), 'leaves a hole'],
    [
      'bytes that belong to nothing',
      fileOf({ v: entry(0, 4) }, 9),
      '5 bytes at the end of the file belong to no tensor',
    ],
  ]
  it.each(cases)('%s', async (_, bytes, message) => {
    await expect(open(bytes)).rejects.toThrow(FormatError)
    await expect(open(bytes)).rejects.toThrow(message)
    await expect(open(bytes)).rejects.toThrow('model.safetensors')
  })

  it('a header above the limit is refused before it is read', async () => {
    const source = {
      name: 'huge',
      sizeBytes: 2 ** 40,
      read: async () => Uint8Array.of(1, 0xe1, 0xf5, 5, 0, 0, 0, 0),
    } // 100,000,001
    await expect(openSafetensors(source)).rejects.toThrow('at most 100000000 are allowed')
  })

  it('lists all problems at once', async () => {
    const bytes = fileOf({ v: entry(0, 4, [2]), w: entry(4, 8, [9]) }, 8)
    await expect(open(bytes)).rejects.toThrow(/"v": F32.*\n.*"w": F32/)
  })

  it('a type that is not known is unsupported, by name', async () => {
    await expect(open(fileOf({ w: entry(0, 4, [8], 'F4') }, 4))).rejects.toThrow(UnsupportedError)
    await expect(open(fileOf({ w: entry(0, 4, [8], 'F4') }, 4))).rejects.toThrow(
      '"w": element type "F4"',
    )
  })
})

describe('what cannot be written', () => {
  const write = (name: string, tensor: Tensor) => () =>
    joinBytes(encodeSafetensors(new Map([[name, tensor]])))
  it('block formats', () =>
    expect(write('w', { dtype: 'q4_0', shape: [32], data: new Uint8Array(18) })).toThrow(
      UnsupportedError,
    ))
  it('data that does not fit the shape', () =>
    expect(write('w', { dtype: 'f32', shape: [3], data: new Float32Array(2) })).toThrow(ShapeError))
  it('the name of the metadata', () => expect(write('__metadata__', f32([1]))).toThrow(OptionError))
})

describe('fuzz', () => {
  const readAll = async (source: Parameters<typeof openSafetensors>[0]): Promise<void> => {
    const store = await openSafetensors(source)
    for (const name of store.tensors.keys()) await store.read(name)
  }
  const valid = joinBytes(encodeSafetensors(everyType, { format: 'pt' }))

  it('random bytes', () =>
    fc.assert(
      fc.asyncProperty(fc.uint8Array({ maxLength: 300 }), (bytes) =>
        readsOrRefuses(bytes, readAll),
      ),
      { numRuns: 300 },
    ))
  it('damaged files', () =>
    fc.assert(
      fc.asyncProperty(damaged(valid), (bytes) => readsOrRefuses(bytes, readAll)),
      { numRuns: 1000 },
    ))
  it('random JSON as header', () =>
    fc.assert(
      fc.asyncProperty(fc.json(), fc.nat(30), (header, dataBytes) =>
        readsOrRefuses(fileOf(header, dataBytes), readAll),
      ),
      { numRuns: 300 },
    ))
})
