// Training data by path, and rows held back for validation.

import { readFile } from 'node:fs/promises'
import { DataError, NotFoundError, OptionError } from '../base/errors.ts'
import { random } from '../base/random.ts'
import type { EncodedData } from '../train/data/encode.ts'
import { createRawDataset, type RawDataset, parseJsonl } from '../train/data/jsonl.ts'
import { findErrorCode, toStorageError } from './files/system-errors.ts'

/** A path to JSONL or several, rows in memory, or data that was read before. */
export type DataInput = string | readonly string[] | readonly object[] | RawDataset | EncodedData

/**
 * Reads a JSONL file. Throws NotFoundError, and DataError that names every row which is no JSON
 * object.
 */
export async function readDataFile(path: string): Promise<RawDataset> {
  const bytes = await readFile(path).catch((cause: unknown) => {
    if (findErrorCode(cause) === 'ENOENT')
      throw new NotFoundError(`${path}: there is no such file.`, { cause })
    throw toStorageError(`${path}: cannot be read`, cause)
  })
  return parseJsonl(decodeText(bytes, path), path)
}

/**
 * The rows of one or several JSONL files as one data set; of several, rows are numbered on through
 * all of them. Throws as `readDataFile` does.
 */
export async function readDataFiles(paths: readonly string[]): Promise<RawDataset> {
  const [first, ...others] = await Promise.all(paths.map(readDataFile))
  if (others.length === 0) return first!
  const rows = [first!, ...others].flatMap((set) => set.rows)
  return { name: paths.join(' + '), rows: rows.map(({ value }, i) => ({ number: i + 1, value })) }
}

function decodeText(bytes: Uint8Array, path: string): string {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes)
  } catch (cause) {
    throw new DataError(`${path}: is not UTF-8 text. Convert it first, for example with iconv.`, {
      cause,
    })
  }
}

const isPaths = (data: DataInput): data is readonly string[] =>
  Array.isArray(data) && data.length > 0 && data.every((item) => typeof item === 'string')

export async function openData(data: DataInput): Promise<RawDataset | EncodedData> {
  if (typeof data === 'string') return readDataFile(data)
  if (isPaths(data)) return readDataFiles(data)
  return Array.isArray(data)
    ? createRawDataset(data as readonly object[], 'data')
    : (data as RawDataset | EncodedData)
}

/**
 * Parts of the rows, the second with `share` of them, drawn by the seed; both keep the file's
 * order. Throws OptionError where one would be empty.
 */
export function splitData<Data extends RawDataset | EncodedData>(
  data: Data,
  share: number,
  seed: number,
): { train: Data; validation: Data } {
  const held = Math.round(data.rows.length * share)
  if (!(share > 0 && share < 1) || held === 0 || held === data.rows.length) {
    throw new OptionError(
      `Validation share ${share} of ${data.rows.length} rows: both parts need at least one row.`,
    )
  }
  const order = random(seed).shuffle(data.rows.map((_, i) => i))
  const isHeld = new Set(order.slice(0, held))
  const part = (inHeld: boolean): Data => {
    const rows = (data.rows as readonly Data['rows'][number][]).filter(
      (_, i) => isHeld.has(i) === inHeld,
    )
    return { ...data, rows, ...('examples' in data ? { examples: rows.length } : {}) }
  }
  return { train: part(false), validation: part(true) }
}
