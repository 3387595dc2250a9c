// Training data in a browser: rows in memory, or a file of rows by URL, File, Blob or `opfs:…`.

import type { RawDataset } from '../train/data/jsonl.ts'
import type { TrainData } from '../train/options/train-data.ts'
import { readRowBytes } from '../train/rows/row-file.ts'
import { isFileHandle } from './sources/opfs.ts'
import { type FileSource, readFile } from './sources/read-file.ts'

/** A file of rows, or data as `train` of graftlm takes it. */
export type WebDataInput = FileSource | TrainData

export const isDataFile = (data: unknown): data is FileSource =>
  (typeof data === 'string' && data !== '') ||
  data instanceof URL ||
  data instanceof Blob ||
  isFileHandle(data)

/** The data, read if it is a file. Throws what reading throws, and DataError for bad rows. */
export const openData = async (data: WebDataInput): Promise<TrainData> =>
  isDataFile(data) ? readDataFile(data) : data

/**
 * The rows of a file: JSONL, a JSON array, CSV or Parquet, each also compressed by gzip. Throws
 * NotFoundError, StorageError, and DataError that names every row which is not a JSON object.
 */
export async function readDataFile(source: FileSource): Promise<RawDataset> {
  const { name, bytes } = await readFile(source)
  return readRowBytes(bytes, name)
}
