// The rows of a file, with Node's own Zstandard.

import { promisify } from 'node:util'
import zlib from 'node:zlib'
import type { RawDataset } from '../../train/data/jsonl.ts'
import { readRowBytes as readBytes } from '../../train/rows/row-file.ts'

// Of the module's object, because a name that an old Node lacks would stop it from loading.
const decompress = promisify(zlib.zstdDecompress)

/** The rows that a file's bytes hold. Throws DataError with the actual kind of the file. */
export const readRowBytes = (bytes: Uint8Array<ArrayBuffer>, name: string): Promise<RawDataset> =>
  readBytes(bytes, name, async (packed) => new Uint8Array(await decompress(packed)))
