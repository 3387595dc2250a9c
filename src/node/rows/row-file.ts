// The rows of a file, with Node's own Zstandard.

import { promisify } from 'node:util'
import { zstdDecompress } from 'node:zlib'
import type { RawDataset } from '../../train/data/jsonl.ts'
import { readRowBytes as readBytes } from '../../train/rows/row-file.ts'

const decompress = promisify(zstdDecompress)

/** The rows that a file's bytes hold. Throws DataError with the actual kind of the file. */
export const readRowBytes = (bytes: Uint8Array<ArrayBuffer>, name: string): Promise<RawDataset> =>
  readBytes(bytes, name, async (packed) => new Uint8Array(await decompress(packed)))
