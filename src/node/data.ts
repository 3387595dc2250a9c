// Training data by path, and rows held out for validation.

import { readFile } from 'node:fs/promises'
import { NotFoundError } from '../base/errors.ts'
import type { EncodedData } from '../train/data/encode.ts'
import { splitRows } from '../train/data/split-rows.ts'
import type { RawDataset } from '../train/data/jsonl.ts'
import {
  resolveValidation,
  toRows,
  type TrainData,
  type ValidationInput,
} from '../train/options/train-data.ts'
import { findErrorCode, toStorageError } from './files/system-errors.ts'
import { readRowBytes } from './rows/row-file.ts'

/** A path to a file of rows or several, or data as `train` of graftlm takes it. */
export type DataInput = string | readonly string[] | TrainData

/**
 * Reads a file of rows: JSONL, a JSON array, CSV or Parquet, each also compressed by gzip or
 * Zstandard. Throws NotFoundError, and DataError that names every row which is not a JSON object.
 */
export async function readDataFile(path: string): Promise<RawDataset> {
  const bytes = await readFile(path).catch((cause: unknown) => {
    if (findErrorCode(cause) === 'ENOENT')
      throw new NotFoundError(`${path}: there is no such file.`, { cause })
    throw toStorageError(`${path}: cannot be read`, cause)
  })
  return readRowBytes(bytes, path)
}

/**
 * The rows of one or several files as one data set; row numbers continue from file to file. Throws
 * as `readDataFile` does.
 */
export async function readDataFiles(paths: readonly string[]): Promise<RawDataset> {
  const [first, ...others] = await Promise.all(paths.map(readDataFile))
  if (others.length === 0) return first!
  const rows = [first!, ...others].flatMap((set) => set.rows)
  return { name: paths.join(' + '), rows: rows.map(({ value }, i) => ({ number: i + 1, value })) }
}

const isPaths = (data: DataInput): data is readonly string[] =>
  Array.isArray(data) && data.length > 0 && data.every((item) => typeof item === 'string')

/** The data; paths are read. */
export async function openData(data: DataInput): Promise<TrainData> {
  if (typeof data === 'string') return readDataFile(data)
  return isPaths(data) ? readDataFiles(data) : data
}

/** The validation rows of a run with these options; undefined if there are none. */
export async function readHeldRows(
  data: DataInput,
  validation: ValidationInput<DataInput> | undefined,
  seed: number,
): Promise<RawDataset | EncodedData | undefined> {
  const held = resolveValidation<DataInput>(validation)?.data
  if (held === undefined) return undefined
  if (typeof held !== 'number') return toRows(await openData(held))
  return splitRows(toRows(await openData(data)), held, seed).validation
}
