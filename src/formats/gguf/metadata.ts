// Reads the key-value part of a GGUF head. Every count is checked against the bytes that are left
// before it is believed.

import { quoteName } from '../quote.ts'
import type { GgufCursor } from './cursor.ts'
import {
  type GgufNumberType,
  type GgufScalarType,
  type GgufValue,
  type GgufValueType,
  numberCodecs,
  valueTypes,
} from './types.ts'

const deepestList = 4 // GGUF allows lists in lists; no known file has them

interface TypedValue {
  readonly type: GgufValueType
  readonly value: GgufValue
}

type What = () => string

/** All keys with values and types, in the file's order. Throws FormatError that names the key. */
export async function readMetadata(
  cursor: GgufCursor,
  count: number,
): Promise<Map<string, TypedValue>> {
  const entries = new Map<string, TypedValue>()
  for (let i = 0; i < count; i++) {
    const key = await cursor.string(() => `the name of metadata key ${i + 1} of ${count}`, 'name')
    if (entries.has(key)) cursor.fail(`it holds the metadata key ${quoteName(key)} twice`)
    const what = (): string => `metadata ${quoteName(key)}`
    const type = await readType(cursor, what)
    entries.set(
      key,
      type === 'list'
        ? await readList(cursor, what, 1)
        : { type, value: await readScalar(cursor, type, what) },
    )
  }
  return entries
}

async function readType(cursor: GgufCursor, what: What): Promise<(typeof valueTypes)[number]> {
  const number = Number(await cursor.next('u32', what))
  return valueTypes[number] ?? cursor.fail(`${what()} has the unknown value type ${number}`)
}

async function readScalar(
  cursor: GgufCursor,
  type: GgufScalarType,
  what: What,
): Promise<GgufValue> {
  if (type === 'string') return cursor.string(what, 'text')
  if (type !== 'bool') return cursor.next(type, what)
  return asBool(cursor, await cursor.next('u8', what), what)
}

function asBool(cursor: GgufCursor, byte: number | bigint, what: What): boolean {
  if (byte !== 0 && byte !== 1) cursor.fail(`${what()} is a boolean, but its byte is ${byte}`)
  return byte === 1
}

async function readList(cursor: GgufCursor, what: What, depth: number): Promise<TypedValue> {
  if (depth > deepestList) cursor.fail(`${what()} nests lists more than ${deepestList} deep`)
  const type = await readType(cursor, what)
  if (type === 'list') return { type: 'list[]', value: await readListOfLists(cursor, what, depth) }
  const read = type === 'string' ? readStrings : type === 'bool' ? readBools : readNumbers(type)
  return { type: `${type}[]`, value: await read(cursor, what) }
}

async function readListOfLists(
  cursor: GgufCursor,
  what: What,
  depth: number,
): Promise<GgufValue[]> {
  const count = await cursor.count(12, what) // type and count of each inner list
  const lists: GgufValue[] = []
  for (let i = 0; i < count; i++) lists.push((await readList(cursor, what, depth + 1)).value)
  return lists
}

async function readStrings(cursor: GgufCursor, what: What): Promise<string[]> {
  const count = await cursor.count(8, what)
  const strings: string[] = []
  for (let i = 0; i < count; i++)
    strings.push(cursor.stringInWindow() ?? (await cursor.string(what, 'text')))
  return strings
}

async function readBools(cursor: GgufCursor, what: What): Promise<boolean[]> {
  const count = await cursor.count(1, what)
  await cursor.need(count, what)
  return Array.from(cursor.bytes(count), (byte) => asBool(cursor, byte, what))
}

const readNumbers =
  (type: GgufNumberType) =>
  async (cursor: GgufCursor, what: What): Promise<GgufValue> => {
    const { bytes, list } = numberCodecs[type]
    const count = await cursor.count(bytes, what)
    await cursor.need(count * bytes, what)
    const values = new list(count)
    // a copy: the window is large and its positions unaligned
    new Uint8Array(values.buffer).set(cursor.bytes(count * bytes))
    return values
  }
