import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { expect, it } from 'vitest'
import { joinBytes } from '../../base/concat.ts'
import { FormatError, NotFoundError } from '../../base/errors.ts'
import { f32, type Tensor } from '../../base/tensor.ts'
import { openFileSource } from '../../node/files/file-source.ts'
import type { ByteSource } from '../byte-source.ts'
import { createMemorySource } from '../memory-source.ts'
import { copyGguf } from './copy.ts'
import { openGguf } from './reader.ts'
import { listSplitNames, removePartNumber } from './split.ts'
import type { GgufEntry, GgufValue } from './types.ts'
import { encodeGguf } from './writer.ts'

const fixture = (name: string): string =>
  fileURLToPath(new URL(`../../../test/parity/gguf-split/${name}`, import.meta.url))

it.each([1, 2, 3])(
  "is read as the whole file from part %i, as llama.cpp's package writes it",
  async (part) => {
    const whole = await openGguf(await openFileSource(fixture('whole.gguf')))
    const split = await openGguf(await openFileSource(fixture(`split-0000${part}-of-00003.gguf`)))
    expect(split.metadata).toEqual(whole.metadata)
    expect(split.metadataTypes).toEqual(whole.metadataTypes)
    expect([...split.tensors.keys()]).toEqual([...whole.tensors.keys()])
    for (const name of whole.tensors.keys())
      expect(await split.read(name)).toEqual(await whole.read(name))
    const copy: Uint8Array[] = []
    for await (const chunk of copyGguf(split, new Map())) copy.push(chunk)
    expect(Buffer.compare(joinBytes(copy), readFileSync(fixture('whole.gguf')))).toBe(0)
    await Promise.all([whole.close(), split.close()])
    await expect(split.read('blk.0.attn_q.weight')).rejects.toThrow('closed')
  },
)

const tensor = f32([2], [1, 2])
type Changes = Readonly<Record<string, GgufValue | undefined>>

function encodePart(names: readonly string[], at: number, changes: Changes = {}): Uint8Array {
  const values = { 'split.no': at, 'split.count': 2, 'split.tensors.count': 3, ...changes }
  const metadata = new Map<string, GgufEntry>()
  for (const [key, value] of Object.entries(values))
    if (value !== undefined)
      metadata.set(key, { type: typeof value === 'string' ? 'string' : 'u16', value })
  return joinBytes(
    encodeGguf({ metadata, tensors: new Map<string, Tensor>(names.map((name) => [name, tensor])) }),
  )
}

/** Opens the first of these files; `closed` counts. */
async function openParts(files: Readonly<Record<string, Uint8Array>>) {
  let stillOpen = 0
  const openMemory = (name: string): ByteSource => {
    stillOpen++
    return {
      ...createMemorySource(`folder/${name}`, files[name]!),
      openBeside: async (other) => (files[other] ? openMemory(other) : undefined),
      close: async () => void stillOpen--,
    }
  }
  const problem = await openGguf(openMemory(Object.keys(files)[0]!)).catch(
    (error: unknown) => error,
  )
  return { problem: problem as Error, stillOpen }
}

const [one, two] = listSplitNames('m-00001-of-00002.gguf') as [string, string]
const first = encodePart(['a', 'b'], 0)

it('names a part that is missing, and closes the others', async () => {
  const { problem, stillOpen } = await openParts({ [one]: first })
  expect(problem).toBeInstanceOf(NotFoundError)
  expect(problem.message).toBe(
    'folder/m-00001-of-00002.gguf: is one of 2 parts of a split GGUF, of which m-00002-of-00002.gguf is not in the same folder. Put all parts into one folder.',
  )
  expect(stillOpen).toBe(0)
})

it.each([
  ['a part of another place', encodePart(['c'], 0), 'split.no: got 0, expected 1'],
  [
    'another count of parts',
    encodePart(['c'], 1, { 'split.count': 4 }),
    'split.count: got 4, expected 2',
  ],
  [
    'a whole file',
    encodePart(['c'], 1, { 'split.count': undefined }),
    'split.count: got 1, expected 2',
  ],
  [
    'a part of another split',
    encodePart(['c'], 1, { 'split.tensors.count': 9 }),
    'split.tensors.count: got 9, expected 3',
  ],
  [
    'a part of another model',
    encodePart(['c'], 1, { 'general.architecture': 'phi3' }),
    'general.architecture: got "phi3", expected nothing',
  ],
  [
    'a tensor that two parts hold',
    encodePart(['b'], 1),
    '"b": is in folder/m-00001-of-00002.gguf and in folder/m-00002-of-00002.gguf',
  ],
  [
    'too few tensors',
    encodePart([], 1),
    'the parts hold 2 tensors, expected 3 (split.tensors.count)',
  ],
])('refuses %s', async (_name, second, words) => {
  const { problem, stillOpen } = await openParts({ [one]: first, [two]: second })
  expect(problem).toBeInstanceOf(FormatError)
  expect(problem.message).toContain('parts do not belong together:')
  expect(problem.message).toContain(words)
  expect(stillOpen).toBe(0)
})

it('refuses a part whose name does not say which it is', async () => {
  for (const name of ['renamed.gguf', two, 'm-00001-of-00003.gguf'])
    expect((await openParts({ [name]: first })).problem.message).toContain(
      `is part 1 of 2 of a split GGUF, and its name does not say so, so that the other parts cannot be found. Got "${name}", expected a name such as model-00001-of-00002.gguf.`,
    )
})

it('has the name of the whole without the number of a part', () => {
  expect(removePartNumber('a/q4-00002-of-00003.gguf')).toBe('a/q4.gguf')
  expect(removePartNumber('q4.gguf')).toBe('q4.gguf')
  expect(listSplitNames('q4.gguf')).toBeUndefined()
})
