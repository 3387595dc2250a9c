// Typed access to GGUF metadata, with errors that name the key. Independent of what the keys
// mean.

import { FormatError } from '../../base/errors.ts'

/**
 * Metadata of a GGUF file, as its reader gives it: numbers, bigints, booleans, strings and arrays
 * of them.
 */
export type GgufMetadata = ReadonlyMap<string, unknown>

export interface GgufValues {
  string(key: string): string | undefined
  /** Integers of 64 bits come as numbers too. */
  number(key: string): number | undefined
  flag(key: string): boolean | undefined
  strings(key: string): readonly string[] | undefined
  numbers(key: string): readonly number[] | undefined
  isList(key: string): boolean
}

/**
 * Getters over metadata: undefined if a key is missing, FormatError where its value is of another
 * kind.
 */
export function createGgufValues(metadata: GgufMetadata): GgufValues {
  const value = <T>(
    key: string,
    kind: string,
    read: (value: unknown) => T | undefined,
  ): T | undefined => {
    const found = metadata.get(key)
    if (found === undefined) return undefined
    const result = read(found)
    if (result === undefined)
      throw new FormatError(
        `GGUF metadata "${key}": got ${describeValue(found)}, expected ${kind}.`,
      )
    return result
  }
  return {
    string: (key) => value(key, 'a string', asString),
    number: (key) => value(key, 'a number', asNumber),
    flag: (key) => value(key, 'a boolean', (v) => (typeof v === 'boolean' ? v : undefined)),
    strings: (key) => value(key, 'a list of strings', (v) => asList(v, asString)),
    numbers: (key) => value(key, 'a list of numbers', (v) => asList(v, asNumber)),
    isList: (key) => Array.isArray(metadata.get(key)) || ArrayBuffer.isView(metadata.get(key)),
  }
}

const asString = (value: unknown): string | undefined =>
  typeof value === 'string' ? value : undefined

function asNumber(value: unknown): number | undefined {
  if (typeof value === 'bigint') return Number(value)
  return typeof value === 'number' ? value : undefined
}

function asList<T>(
  value: unknown,
  read: (item: unknown) => T | undefined,
): readonly T[] | undefined {
  if (!Array.isArray(value) && !ArrayBuffer.isView(value)) return undefined
  const result: T[] = []
  for (const item of value as unknown as Iterable<unknown>) {
    const one = read(item)
    if (one === undefined) return undefined
    result.push(one)
  }
  return result
}

function describeValue(value: unknown): string {
  if (Array.isArray(value) || ArrayBuffer.isView(value)) return 'a list of another kind'
  return typeof value === 'string'
    ? `the string ${JSON.stringify(value.slice(0, 40))}`
    : `${typeof value} ${String(value)}`
}

/** The shortest decimal that rounds to the same 32-bit float: 1e-5 for 9.999999747378752e-6. */
export function shortenFloat(value: number): number {
  for (let digits = 1; digits < 9; digits++) {
    const short = Number(value.toPrecision(digits))
    if (Math.fround(short) === Math.fround(value)) return short
  }
  return value
}
