// The rows of a file in any format: JSONL, a JSON array, CSV, Parquet, each also compressed. The
// format is detected by the first bytes, and CSV by the file's name.

import { DataError } from '../../base/errors.ts'
import { parseJsonl, type RawDataset } from '../data/jsonl.ts'

/** Decompresses Zstandard, which not every platform can. */
export type ZstandardReader = (bytes: Uint8Array<ArrayBuffer>) => Promise<Uint8Array<ArrayBuffer>>

/** The format of a file's rows. */
interface RowContainer {
  readonly bytes: readonly number[]
  /** Reads the rows of the file with this name. */
  read(
    bytes: Uint8Array<ArrayBuffer>,
    name: string,
    unpackZstandard: ZstandardReader | undefined,
  ): Promise<RawDataset>
}

const encodeStart = (text: string): number[] => [...new TextEncoder().encode(text)]

const gzip: RowContainer = {
  bytes: [0x1f, 0x8b],
  read: async (bytes, name, unpackZstandard) =>
    readRowBytes(await unpackGzip(bytes, name), name, unpackZstandard),
}

const zstandard: RowContainer = {
  bytes: [0x28, 0xb5, 0x2f, 0xfd],
  async read(bytes, name, unpackZstandard) {
    if (!unpackZstandard)
      throw new DataError(
        `${name}: is compressed by Zstandard, which browsers cannot read. Unpack it, or use gzip.`,
      )
    const plain = await unpackZstandard(bytes).catch((cause: unknown) => {
      throw new DataError(`${name}: cannot be decompressed; the file is damaged or cut off.`, {
        cause,
      })
    })
    return readRowBytes(plain, name, unpackZstandard)
  },
}

const parquet: RowContainer = {
  bytes: encodeStart('PAR1'),
  async read(bytes, name) {
    const { readParquet } = await import('./parquet.ts')
    return readParquet(bytes, name)
  },
}

const containers: readonly RowContainer[] = [gzip, zstandard, parquet]

const one = 'Unpack it and give the file of rows in it.'
const converted = 'Convert it to JSONL, CSV or Parquet.'

/** First bytes of files that cannot be read as rows, with their format and what to do. */
const foreign: readonly (readonly [bytes: readonly number[], what: string, advice: string])[] = [
  [encodeStart('PK\u0003\u0004'), 'a ZIP archive (or a spreadsheet)', one],
  [encodeStart('%PDF-'), 'a PDF file', 'Write its text as rows in JSONL or CSV.'],
  [encodeStart('BZh'), 'compressed by bzip2', one],
  [[0xfd, 0x37, 0x7a, 0x58, 0x5a], 'compressed by xz', one],
  [[0x37, 0x7a, 0xbc, 0xaf], 'a 7z archive', one],
  [encodeStart('ARROW1'), 'an Arrow file', converted],
  [[0xff, 0xff, 0xff, 0xff], 'an Arrow stream', converted],
  [encodeStart('SQLite format 3'), 'an SQLite database', converted],
  [encodeStart('ORC'), 'an ORC file', converted],
  [encodeStart('Obj\u0001'), 'an Avro file', converted],
  [[0x80, 0x04], 'a Python pickle', converted],
  [[0x80, 0x05], 'a Python pickle', converted],
  [[0xff, 0xfe], 'UTF-16 text', 'Convert it to UTF-8, for example with iconv -f UTF-16 -t UTF-8.'],
  [[0xfe, 0xff], 'UTF-16 text', 'Convert it to UTF-8, for example with iconv -f UTF-16 -t UTF-8.'],
]

const hasStart = (bytes: Uint8Array, start: readonly number[]): boolean =>
  start.every((byte, i) => bytes[i] === byte)

async function unpackGzip(
  bytes: Uint8Array<ArrayBuffer>,
  name: string,
): Promise<Uint8Array<ArrayBuffer>> {
  const plain = new Blob([bytes]).stream().pipeThrough(new DecompressionStream('gzip'))
  try {
    return new Uint8Array(await new Response(plain).arrayBuffer())
  } catch (cause) {
    throw new DataError(`${name}: cannot be decompressed; the file is damaged or cut off.`, {
      cause,
    })
  }
}

function decodeText(bytes: Uint8Array, name: string): string {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes)
  } catch (cause) {
    throw new DataError(
      `${name}: is not UTF-8 text, and rows are JSONL, JSON, CSV, TSV or Parquet. Text in another encoding can be converted first, for example with iconv.`,
      { cause },
    )
  }
}

/** The separator of a table's cells by the file's name; undefined for other files. */
function findSeparator(name: string): string | undefined {
  const [, extension] = /\.(csv|tsv)(\.gz|\.zst)?$/i.exec(name) ?? []
  return extension === undefined ? undefined : extension.toLowerCase() === 'csv' ? ',' : '\t'
}

/** The rows that a file's bytes hold. Throws DataError with the actual kind of the file. */
export async function readRowBytes(
  bytes: Uint8Array<ArrayBuffer>,
  name: string,
  unpackZstandard?: ZstandardReader,
): Promise<RawDataset> {
  const container = containers.find((row) => hasStart(bytes, row.bytes))
  if (container) return container.read(bytes, name, unpackZstandard)
  const separator = findSeparator(name)
  const mayBeForeign = separator === undefined || bytes.subarray(0, 64).includes(0)
  const known = mayBeForeign && foreign.find(([start]) => hasStart(bytes, start))
  if (known) throw new DataError(`${name}: is ${known[1]}. ${known[2]}`)
  const text = decodeText(bytes, name)
  if (separator === undefined) return parseJsonl(text, name)
  const { readCsv } = await import('./csv.ts')
  return readCsv(text, name, separator)
}
