import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import {
  FormatError,
  NotFoundError,
  OptionError,
  ShapeError,
  UnsupportedError,
} from '../../base/errors.ts'
import { joinBytes } from '../../base/concat.ts'
import { f32, fromBytes, i64, type Tensor } from '../../base/tensor.ts'
import type { ByteSource } from '../byte-source.ts'
import { toFloat32 } from '../convert.ts'
import { openGguf } from './reader.ts'
import type { GgufEntry, GgufValue } from './types.ts'
import { encodeGguf, type GgufContent } from './writer.ts'
import { createMemorySource } from '../memory-source.ts'
import { damaged, readsOrRefuses, watchedSource } from '../reader.contract.ts'

const entry = (type: GgufEntry['type'], value: GgufValue): GgufEntry => ({ type, value })
const metadata = new Map<string, GgufEntry>([
  ['general.architecture', entry('string', 'llama')],
  ['llama.block_count', entry('u32', 1)],
  ['llama.rope.freq_base', entry('f32', 10000)],
  ['tokenizer.ggml.add_bos_token', entry('bool', true)],
  ['tokenizer.ggml.tokens', entry('string[]', ['a', 'é', '\ufeff'])],
  ['tokenizer.ggml.scores', entry('f32[]', Float32Array.of(0.5, -1))],
  ['big', entry('u64', 2n ** 60n)],
  ['minus', entry('i64', -5)],
])
const q8 = Uint8Array.from({ length: 68 }, (_, i) => i)
const tensors = new Map<string, Tensor>([
  ['token_embd.weight', f32([2, 3], [0, 1, 2, 3, 4, 5])],
  ['half', { dtype: 'f16', shape: [4], data: Uint16Array.of(0, 0x3c00, 0x4000, 0x4200) }],
  ['blk.0.attn_v.weight', fromBytes('q8_0', [2, 32], q8)],
])
const write = (content: Partial<GgufContent> = {}): Uint8Array =>
  joinBytes(encodeGguf({ metadata, tensors, ...content }))
const open = (bytes: Uint8Array) => openGguf(createMemorySource('model.gguf', bytes))

describe('round trip', () => {
  it('keeps metadata, types, shapes and bytes', async () => {
    const file = await open(write())
    expect(file.version).toBe(3)
    expect(file.metadata).toEqual(new Map([...metadata].map(([key, { value }]) => [key, value])))
    expect(file.metadataTypes).toEqual(new Map([...metadata].map(([key, { type }]) => [key, type])))
    expect([...file.tensors.keys()]).toEqual([...tensors.keys()])
    for (const [name, tensor] of tensors) expect(await file.read(name)).toEqual(tensor)
  })

  it('every value type, alone and in lists', async () => {
    const values = {
      u8: 255,
      i8: -128,
      u16: 65535,
      i16: -32768,
      u32: 2 ** 32 - 1,
      i32: -(2 ** 31),
      f32: 0.5,
      f64: 0.1,
      u64: 7,
      i64: -7,
      bool: false,
      string: '',
    }
    const lists = {
      'u8[]': Uint8Array.of(1, 2),
      'i16[]': Int16Array.of(-1),
      'f64[]': Float64Array.of(0.1),
      'u64[]': BigUint64Array.of(2n ** 63n),
      'i64[]': BigInt64Array.of(-1n),
      'bool[]': [true, false],
      'string[]': ['', 'x'],
      'i32[]': new Int32Array(0),
    }
    const entries = new Map(
      Object.entries({ ...values, ...lists }).map(([type, value]) => [
        type,
        entry(type as GgufEntry['type'], value),
      ]),
    )
    const file = await open(write({ metadata: entries }))
    for (const [type, { value }] of entries) {
      expect(file.metadata.get(type)).toEqual(value)
      expect(file.metadataTypes.get(type)).toBe(type)
    }
  })

  it('every element type that both know, and other alignments', async () => {
    const all = new Map<string, Tensor>([
      ['bf16', { dtype: 'bf16', shape: [3], data: Uint16Array.of(1, 2, 3) }],
      ['i64', i64([1], [-9])],
      ['f64', { dtype: 'f64', shape: [1, 1], data: Float64Array.of(0.1) }],
      ['i8', { dtype: 'i8', shape: [1, 1, 1, 3], data: Int8Array.of(1, 2, 3) }],
      ['empty', f32([0, 4])],
      ['scalar', f32([], [7])],
      ['q4_k', fromBytes('q4_k', [256], new Uint8Array(144).fill(3))],
    ])
    for (const alignment of [8, 64, 4096]) {
      const file = await open(
        write({
          metadata: new Map([['general.alignment', entry('u32', alignment)]]),
          tensors: all,
        }),
      )
      for (const [name, tensor] of all) {
        expect(file.tensors.get(name)!.offset % alignment).toBe(0)
        expect(await file.read(name)).toEqual(tensor)
      }
    }
  })

  it('reads tensors as views, one at a time', async () => {
    const bytes = write()
    const source = watchedSource(bytes)
    const file = await openGguf(source)
    source.lengths.length = 0
    const tensor = await file.read('blk.0.attn_v.weight')
    expect(source.lengths).toEqual([68])
    expect(tensor.data.buffer).toBe(bytes.buffer)
    await file.close()
    expect(source.closed).toBe(true)
    await expect(file.read('none')).rejects.toThrow(NotFoundError)
  })

  it('reads heads longer than a window: long strings, many strings, long lists', async () => {
    const words = Array.from({ length: 150_000 }, (_, i) => `word ${i} é`)
    const long = 'x'.repeat(3_000_000)
    const numbers = Float32Array.from({ length: 600_000 }, (_, i) => i)
    const content = new Map([
      ['words', entry('string[]', words)],
      ['long', entry('string', long)],
      ['numbers', entry('f32[]', numbers)],
    ])
    const bytes = write({ metadata: content })
    const source = watchedSource(bytes)
    const file = await openGguf(source)
    expect(file.metadata.get('words')).toEqual(words)
    expect(file.metadata.get('long')).toBe(long)
    expect(file.metadata.get('numbers')).toEqual(numbers)
    expect(source.lengths.length).toBeLessThan(12)
  })
})

describe('a file of the reference writer', () => {
  // gguf-py 0.19.0: GGUFWriter with the metadata above; token_embd.weight = arange(6), half =
  // arange(4) in f16, blk.0.attn_v.weight = quantize(linspace(-1, 1, 64).reshape(2, 32), Q8_0).
  const base64 = [
    'R0dVRgMAAAADAAAAAAAAAAgAAAAAAAAAFAAAAAAAAABnZW5lcmFsLmFyY2hpdGVjdHVyZQgAAAAFAAAAAAAAAGxsYW1hEQAAAAAAAABsbGFtYS5ibG9ja19jb3VudAQA',
    'AAABAAAAFAAAAAAAAABsbGFtYS5yb3BlLmZyZXFfYmFzZQYAAAAAQBxGHAAAAAAAAAB0b2tlbml6ZXIuZ2dtbC5hZGRfYm9zX3Rva2VuBwAAAAEVAAAAAAAAAHRva2Vu',
    'aXplci5nZ21sLnRva2VucwkAAAAIAAAAAwAAAAAAAAABAAAAAAAAAGECAAAAAAAAAMOpAwAAAAAAAADvu78VAAAAAAAAAHRva2VuaXplci5nZ21sLnNjb3JlcwkAAAAG',
    'AAAAAgAAAAAAAAAAAAA/AACAvwMAAAAAAAAAYmlnCgAAAAAAAAAAAAAQBQAAAAAAAABtaW51cwsAAAD7/////////xEAAAAAAAAAdG9rZW5fZW1iZC53ZWlnaHQCAAAA',
    'AwAAAAAAAAACAAAAAAAAAAAAAAAAAAAAAAAAAAQAAAAAAAAAaGFsZgEAAAAEAAAAAAAAAAEAAAAgAAAAAAAAABMAAAAAAAAAYmxrLjAuYXR0bl92LndlaWdodAIAAAAg',
    'AAAAAAAAAAIAAAAAAAAACAAAAEAAAAAAAAAAAAAAAAAAAAAAAACAPwAAAEAAAEBAAACAQAAAoEAAAAAAAAAAAAAAADwAQABCAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA',
    'CCCBhYmNkZWZnaGlqa2xtbm9wsbKztLW2t7i5uru8vb6/gggAgYKDhIWGh4iJiouMjY6PkNHS09TV1tfY2drb3N3e38AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA',
  ]
  const reference = Uint8Array.from(atob(base64.join('')), (char) => char.charCodeAt(0))

  it('is read', async () => {
    const file = await open(reference)
    expect(file.metadata).toEqual(new Map([...metadata].map(([key, { value }]) => [key, value])))
    expect(await file.read('token_embd.weight')).toEqual(tensors.get('token_embd.weight'))
    expect(await file.read('half')).toEqual(tensors.get('half'))
    const values = toFloat32(await file.read('blk.0.attn_v.weight'))
    expect(
      Math.max(...values.map((value, i) => Math.abs(value - (-1 + (2 * i) / 63)))),
    ).toBeLessThan(0.5 / 127 + 1e-3)
  })

  it('is written byte for byte', async () => {
    const file = await open(reference)
    const same = new Map<string, Tensor>()
    for (const name of file.tensors.keys()) same.set(name, await file.read(name))
    expect(write({ tensors: same })).toEqual(reference)
  })
})

/**
 * Little-endian pieces of a head: a bigint is a u64, a number a u32, a string its length and its
 * bytes.
 */
function head(...parts: (bigint | number | string | Uint8Array)[]): Uint8Array {
  const pieces = parts.flatMap((part) => {
    if (part instanceof Uint8Array) return [part]
    if (typeof part === 'string')
      return [head(BigInt(new TextEncoder().encode(part).length)), new TextEncoder().encode(part)]
    const bytes = new Uint8Array(typeof part === 'bigint' ? 8 : 4)
    if (typeof part === 'bigint') new DataView(bytes.buffer).setBigUint64(0, part, true)
    else new DataView(bytes.buffer).setUint32(0, part, true)
    return [bytes]
  })
  return joinBytes(pieces)
}

const magic = 0x46554747
const keyed = (...value: Parameters<typeof head>): Uint8Array =>
  head(magic, 3, 0n, 1n, 'key', ...value)
/**
 * A file whose head lists tensors (name, dimensions innermost first, type, offset), padded to 32,
 * with bytes behind.
 */
function listing(
  dataBytes: number,
  ...entries: [name: string, dims: bigint[], type: number, offset: bigint][]
): Uint8Array {
  const start = head(
    magic,
    3,
    BigInt(entries.length),
    0n,
    ...entries.flatMap(([name, dims, type, offset]) => [name, dims.length, ...dims, type, offset]),
  )
  const bytes = new Uint8Array(Math.ceil(start.length / 32) * 32 + dataBytes)
  bytes.set(start)
  return bytes
}

describe('corrupt files', () => {
  const most = 2n ** 64n - 1n
  const cases: [string, Uint8Array, string][] = [
    ['empty', new Uint8Array(0), 'it ends within its first four bytes'],
    ['another format', head(0x04034b50, 3, 0n, 0n), 'it does not begin with "GGUF"'],
    ['nothing behind the version', head(magic, 3), 'it ends within the list of tensors'],
    [
      'more tensors than bytes',
      head(magic, 3, most, 0n),
      'the list of tensors claims 18446744073709551615 items',
    ],
    [
      'more tensors than fit',
      head(magic, 3, 2n, 0n, new Uint8Array(20)),
      'the list of tensors claims 2 items, but only 28 bytes follow',
    ],
    [
      'more keys than fit',
      head(magic, 3, 0n, 2n ** 40n),
      'the metadata claims 1099511627776 items, but only 0 bytes follow',
    ],
    [
      'a key beyond the file',
      head(magic, 3, 0n, 1n, 2n ** 62n, new Uint8Array(8)),
      'it ends within the name of metadata key 1 of 1',
    ],
    [
      'a key that is not UTF-8',
      head(magic, 3, 0n, 1n, 2n, Uint8Array.of(0xff, 0xff), 4, 1),
      'the name of metadata key 1 of 1 is not UTF-8',
    ],
    [
      'a key twice',
      head(magic, 3, 0n, 2n, 'k', 4, 1, 'k', 4, 1),
      'holds the metadata key "k" twice',
    ],
    ['an unknown value type', keyed(13, 1), 'metadata "key" has the unknown value type 13'],
    ['a value cut off', keyed(10, 1), 'it ends within metadata "key": 8 bytes needed, 4 left'],
    [
      'a boolean of 2',
      keyed(7, Uint8Array.of(2, 0, 0, 0)),
      'metadata "key" is a boolean, but its byte is 2',
    ],
    [
      'a string beyond the file',
      keyed(8, 2n ** 31n),
      'it ends within metadata "key": 2147483648 bytes needed, 0 left',
    ],
    [
      'a string beyond all files',
      keyed(8, most),
      'it ends within metadata "key": 18446744073709551615 bytes needed',
    ],
    [
      'a list of numbers beyond the file',
      keyed(9, 6, 2n ** 30n),
      'metadata "key" claims 1073741824 items, but only 0 bytes follow',
    ],
    [
      'a list of strings beyond the file',
      keyed(9, 8, 3n, 'a', 'b'),
      'metadata "key" claims 3 items, but only 18 bytes follow',
    ],
    [
      'a list of strings cut off',
      keyed(9, 8, 2n, 'a', 300n),
      'it ends within metadata "key": 300 bytes needed, 0 left',
    ],
    [
      'a list of booleans of 7',
      keyed(9, 7, 4n, 7),
      'metadata "key" is a boolean, but its byte is 7',
    ],
    ['a list of an unknown type', keyed(9, 99, 0n), 'metadata "key" has the unknown value type 99'],
    [
      'lists ever deeper',
      keyed(9, ...Array.from({ length: 50 }, () => [9, 1n]).flat()),
      'metadata "key" nests lists more than 4 deep',
    ],
    [
      'an alignment of 3',
      head(magic, 3, 0n, 1n, 'general.alignment', 4, 3),
      '"general.alignment" must be a power of two, got 3',
    ],
    [
      'an alignment of 0',
      head(magic, 3, 0n, 1n, 'general.alignment', 4, 0),
      '"general.alignment" must be a power of two, got 0',
    ],
    [
      'an alignment of text',
      head(magic, 3, 0n, 1n, 'general.alignment', 8, 'x'),
      '"general.alignment" must be a power of two, got string',
    ],
    [
      'five dimensions',
      listing(4, ['w', [1n, 1n, 1n, 1n, 1n], 0, 0n]),
      'tensor "w" claims 5 dimensions',
    ],
    [
      'dimensions without end',
      head(magic, 3, 1n, 0n, 'w', 0xffffffff, new Uint8Array(64)),
      'tensor "w" claims 4294967295 dimensions',
    ],
    [
      'a product that overflows',
      listing(4, ['w', [2n ** 32n, 2n ** 32n], 0, 0n]),
      '"w": the product of its shape [4294967296, 4294967296] overflows',
    ],
    [
      'a dimension that overflows',
      listing(4, ['w', [most], 0, 0n]),
      '"w": the product of its shape [18446744073709551615] overflows',
    ],
    [
      'rows of half a block',
      listing(18, ['w', [16n], 2, 0n]),
      '"w": its rows have 16 elements, q4_0 needs a multiple of 32',
    ],
    [
      'data cut off',
      listing(4, ['w', [2n], 0, 0n]),
      '"w": f32 [2] at offset 0 ends at byte 72, the file has 68',
    ],
    [
      'an offset beyond the file',
      listing(4, ['w', [1n], 0, 2n ** 20n]),
      '"w": f32 [1] at offset 1048576 ends at byte',
    ],
    [
      'an offset beyond all files',
      listing(4, ['w', [1n], 0, most]),
      '"w": its offset 18446744073709551615 is outside the file',
    ],
    [
      'an offset off the alignment',
      listing(64, ['w', [1n], 0, 4n]),
      '"w": its offset 4 is not a multiple of the alignment 32',
    ],
    [
      'an overlap',
      listing(64, ['v', [16n], 0, 0n], ['w', [1n], 0, 32n]),
      '"w": begins at byte 128, within "v"',
    ],
    [
      'a tensor twice',
      listing(64, ['w', [1n], 0, 0n], ['w', [1n], 0, 32n]),
      '"w": is listed twice',
    ],
  ]
  it.each(cases)('%s', async (_, bytes, message) => {
    const error = await open(bytes).catch((caught: unknown) => caught)
    expect(error).toBeInstanceOf(FormatError)
    expect((error as Error).message).toContain('model.gguf: ')
    expect((error as Error).message).toContain(message)
  })

  it('lists all bad tensors at once', async () => {
    const bytes = listing(4, ['v', [3n], 0, 0n], ['w', [4n], 0, 0n])
    await expect(open(bytes)).rejects.toThrow(/"v": f32 \[3\].*\n.*"w": f32 \[4\]/)
  })
})

describe('what is sound but not supported', () => {
  it.each([
    ['version 1', head(magic, 1, 0n, 0n), 'GGUF version 1 is not supported'],
    [
      'a big-endian file',
      head(magic, 0x03000000, 0n, 0n),
      'big-endian GGUF files are not supported',
    ],
    ['a type of ggml alone', listing(98, ['w', [256n], 34, 0n]), '"w": element type TQ1_0'],
    ['a type of nobody', listing(98, ['w', [256n], 77, 0n]), '"w": element type 77'],
  ])('%s', async (_, bytes, message) => {
    await expect(open(bytes)).rejects.toThrow(UnsupportedError)
    await expect(open(bytes)).rejects.toThrow(message)
  })
})

it('version 2 and a list of lists are read', async () => {
  const file = await open(head(magic, 2, 0n, 1n, 'key', 9, 9, 2n, 4, 1n, 7, 8, 1n, 'x'))
  expect(file.metadata.get('key')).toEqual([Uint32Array.of(7), ['x']])
  expect(file.metadataTypes.get('key')).toBe('list[]')
})

describe('what cannot be written', () => {
  const writing = (tensor: Tensor) => () => write({ tensors: new Map([['w', tensor]]) })
  it('types that GGUF lacks', () =>
    expect(writing({ dtype: 'bool', shape: [1], data: Uint8Array.of(1) })).toThrow(
      UnsupportedError,
    ))
  it('data that does not fit', () =>
    expect(writing({ dtype: 'f32', shape: [2], data: new Float32Array(1) })).toThrow(ShapeError))
  it('five dimensions', () => expect(writing(f32([1, 1, 1, 1, 1]))).toThrow(ShapeError))
  it('rows of half a block', () =>
    expect(writing(fromBytes('q4_0', [2, 16], new Uint8Array(18)))).toThrow(ShapeError))
  it.each([
    ['u32', -1],
    ['u8', 256],
    ['i32', 1.5],
    ['u32', '1'],
    ['string', 1],
    ['bool', 1],
    ['f32[]', 1],
    ['string[]', [1]],
  ] as [GgufEntry['type'], GgufValue][])('a %s of %s', (type, value) => {
    const writeIt = () => write({ metadata: new Map([['key', entry(type, value)]]) })
    expect(writeIt).toThrow(OptionError)
    expect(writeIt).toThrow(`metadata "key": the value does not fit its type ${type}`)
  })
})

describe('fuzz', () => {
  const readAll = async (source: ByteSource): Promise<void> => {
    const file = await openGguf(source)
    for (const name of file.tensors.keys()) toFloat32(await file.read(name))
  }
  const valid = write()
  const started = fc
    .uint8Array({ maxLength: 300 })
    .map((bytes) => joinBytes([head(magic, 3), bytes]))

  it('random bytes', () =>
    fc.assert(
      fc.asyncProperty(fc.uint8Array({ maxLength: 300 }), (bytes) =>
        readsOrRefuses(bytes, readAll),
      ),
      { numRuns: 200 },
    ))
  it('random bytes behind the magic', () =>
    fc.assert(
      fc.asyncProperty(started, (bytes) => readsOrRefuses(bytes, readAll)),
      { numRuns: 300 },
    ))
  it('damaged files', () =>
    fc.assert(
      fc.asyncProperty(damaged(valid), (bytes) => readsOrRefuses(bytes, readAll)),
      { numRuns: 1500 },
    ))
})
