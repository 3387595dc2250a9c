// Rows of a Parquet file, also compressed by Snappy, Zstandard, gzip, Brotli or LZ4. Independent of
// formats of training data.

import { type FileMetaData, parquetMetadataAsync, parquetReadObjects } from 'hyparquet'
import { compressors } from 'hyparquet-compressors'
import { DataError } from '../../base/errors.ts'
import { ExactNumber, formatPythonFloat, toExactNumber } from '../../base/exact-number.ts'
import type { RawDataset } from '../data/jsonl.ts'

type NumberReader = (value: number) => number | ExactNumber

/** A floating-point number as JSON text has it: 1.0 stays 1.0. */
function toFloat(value: number): number | ExactNumber {
  const text = formatPythonFloat(value)
  return text === String(value) ? value : new ExactNumber(text)
}

/**
 * In a file whose integers all have 64 bits, JavaScript numbers are floats; otherwise they are
 * unchanged.
 */
const chooseNumberReader = ({ schema }: FileMetaData): NumberReader =>
  schema.some(({ type }) => type === 'INT32') ? (value) => value : toFloat

/** A top-level value of a column, with JavaScript numbers. */
function toPlain(value: unknown, readNumber: NumberReader): unknown {
  const read = toJson(value, readNumber)
  return read instanceof ExactNumber ? Number(read) : read
}

/**
 * A value as JSON has it. Arrow gives every record of a list the keys of all of them; keys without
 * a value are dropped.
 */
function toJson(value: unknown, readNumber: NumberReader): unknown {
  if (typeof value === 'number') return readNumber(value)
  if (typeof value === 'bigint') return toExactNumber(String(value))
  if (value instanceof Date) return value.toISOString()
  if (ArrayBuffer.isView(value)) return Array.from(value as Uint8Array)
  if (Array.isArray(value)) return value.map((item) => toJson(item, readNumber))
  if (typeof value !== 'object' || value === null) return value
  return Object.fromEntries(
    Object.entries(value).flatMap(([key, item]) =>
      item === null || item === undefined ? [] : [[key, toJson(item, readNumber)]],
    ),
  )
}

/** The rows of a Parquet file, numbered from 1. Throws DataError if it cannot be read. */
export async function readParquet(
  bytes: Uint8Array<ArrayBuffer>,
  name: string,
): Promise<RawDataset> {
  const { buffer, byteOffset, byteLength } = bytes
  const slice = (start: number, end = byteLength): ArrayBuffer =>
    buffer.slice(byteOffset + start, byteOffset + end)
  const file = { byteLength, slice }
  const refuse = (cause: unknown): never => {
    const reason = cause instanceof Error ? cause.message : String(cause)
    throw new DataError(`${name}: cannot be read as Parquet: ${reason}.`, { cause })
  }
  const metadata = await parquetMetadataAsync(file).catch(refuse)
  const records = await parquetReadObjects({ file, metadata, compressors }).catch(refuse)
  const readNumber = chooseNumberReader(metadata)
  if (records.length === 0) throw new DataError(`${name}: contains no rows.`)
  const rows = records.map((record, i) => ({
    number: i + 1,
    value: Object.fromEntries(
      Object.entries(record).map(([key, value]) => [key, toPlain(value, readNumber)]),
    ),
  }))
  return { name, rows }
}
