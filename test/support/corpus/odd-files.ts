// Odd files of rows: JSON Lines, JSON arrays, CSV, TSV and Parquet, plain and compressed, changed as
// downloads and editors change them. Independent of the code that reads them.

import { readFileSync } from 'node:fs'
import { gunzipSync, gzipSync, zstdCompressSync } from 'node:zlib'
import { random, type Random } from '../../../src/base/random.ts'

export interface OddFile {
  /** The name decides how a file without first bytes of its own is read. */
  readonly name: string
  readonly container: string
  /** The kind of change. */
  readonly mutation: string
  readonly bytes: Uint8Array<ArrayBuffer>
}

type Rows = readonly Readonly<Record<string, unknown>>[]

const chat = (a: string, b: string) => [
  { role: 'user', content: a },
  { role: 'assistant', content: b },
]

/** Rows whose values are texts, so that a table can hold them. */
const flatRows: readonly Rows[] = [
  [
    { prompt: 'Lily:', completion: ' saw, "a" cat.' },
    { prompt: 'Tom:\nsaid', completion: ' 😀' },
  ],
  [{ text: 'alpha' }, { text: 'NA' }, { text: '007' }, { text: '1e5' }, { text: 'true' }],
  [
    { instruction: 'do', input: '', output: ' so ' },
    { instruction: 'дa', input: 'x;y\tz', output: "it's" },
  ],
  [{ prompt: 'a', chosen: "b'", rejected: 'c\\n' }],
  [{ prompt: 'a', completion: 'b', label: 'True' }],
]

const nestedRows: readonly Rows[] = [
  [{ messages: chat('a', 'b') }, { messages: chat('c', 'd') }],
  [{ prompt: chat('a', 'b').slice(0, 1), completion: chat('a', 'b').slice(1) }],
  [{ messages: chat('a', 'b'), tools: [{ type: 'function', function: { name: 'f' } }] }],
  [
    {
      conversations: [
        { from: 'human', value: 'a' },
        { from: 'gpt', value: 'b' },
      ],
      system: 'c',
    },
  ],
  [
    { prompt: 'a', completion: 'b', weight: 0.5 },
    { prompt: 'c', completion: 'd', weight: 1 },
  ],
]

const pickOne = <Item>(items: readonly Item[], draw: Random): Item =>
  items[draw.integer(items.length)]!

const encode = (text: string): Uint8Array<ArrayBuffer> => new TextEncoder().encode(text)

const quote = (cell: string, separator: string): string =>
  /["\n\r]/.test(cell) || cell.includes(separator) ? `"${cell.replaceAll('"', '""')}"` : cell

function writeTable(rows: Rows, separator: string): string {
  const keys = Object.keys(rows[0]!)
  const lines = [keys, ...rows.map((row) => keys.map((key) => String(row[key])))]
  return lines
    .map((cells) => cells.map((cell) => quote(cell, separator)).join(separator))
    .join('\n')
}

const writers: Readonly<Record<string, (draw: Random) => string>> = {
  'JSON Lines': (draw) =>
    pickOne([...flatRows, ...nestedRows], draw)
      .map((row) => JSON.stringify(row))
      .join('\n') + '\n',
  'JSON array': (draw) =>
    JSON.stringify(
      pickOne([...flatRows, ...nestedRows], draw),
      null,
      pickOne([undefined, 1, '\t'], draw),
    ),
  CSV: (draw) => `${writeTable(pickOne(flatRows, draw), ',')}\n`,
  TSV: (draw) => `${writeTable(pickOne(flatRows, draw), '\t')}\n`,
}
const extensions: Readonly<Record<string, string>> = {
  'JSON Lines': 'jsonl',
  'JSON array': 'json',
  CSV: 'csv',
  TSV: 'tsv',
  Parquet: 'parquet',
}

function replaceAt(text: string, at: number, count: number, by: string): string {
  return text.slice(0, at) + by + text.slice(at + count)
}

/** A place in the text behind one of these signs. */
function pickPlace(text: string, sign: RegExp, draw: Random): number {
  const places = [...text.matchAll(sign)].map(({ index }) => index + 1)
  return places.length > 0 ? pickOne(places, draw) : text.length
}

type ChangeText = (text: string, draw: Random) => string | Uint8Array<ArrayBuffer>

/** What editors, downloads and hands do to a text. */
const textMutations: Readonly<Record<string, ChangeText>> = {
  nothing: (text) => text,
  'a byte order mark': (text) => `\uFEFF${text}`,
  'other line ends': (text, draw) => text.replaceAll('\n', pickOne(['\r\n', '\n\n', ' \n'], draw)),
  'line ends of old Macs': (text) => text.replaceAll('\n', '\r'),
  'no last line end': (text) => text.trimEnd(),
  'blank lines': (text) => `\n\n${text}\n \n`,
  'cut off': (text, draw) => text.slice(0, 1 + draw.integer(text.length - 1)),
  'a sign too many': (text, draw) =>
    replaceAt(text, draw.integer(text.length), 0, pickOne([',', '"', '}', ']', '\n', '\\'], draw)),
  'a sign missing': (text, draw) => replaceAt(text, draw.integer(text.length), 1, ''),
  'a trailing comma': (text, draw) =>
    replaceAt(text, pickPlace(text, /["\d](?=[}\]\n])/g, draw), 0, ','),
  'a comment': (text, draw) =>
    replaceAt(
      text,
      pickPlace(text, /[,\n]/g, draw),
      0,
      pickOne(['// x\n', '# x\n', '/* x */'], draw),
    ),
  'a NUL': (text, draw) => replaceAt(text, draw.integer(text.length), 0, '\0'),
  'half a surrogate pair': (text, draw) =>
    replaceAt(text, pickPlace(text, /[a-z]/g, draw), 0, '\\ud83d'),
  'text in UTF-16': (text) => new Uint8Array(Buffer.from(`\uFEFF${text}`, 'utf16le')),
  'text in Latin-1': (text, draw) =>
    new Uint8Array(Buffer.from(replaceAt(text, pickPlace(text, /[a-z]/g, draw), 0, 'é'), 'latin1')),
  'a second file behind it': (text, draw) =>
    text + writers[pickOne(['JSON Lines', 'JSON array', 'CSV'], draw)]!(draw),
  'a value of another kind': (text, draw) =>
    replaceAt(
      text,
      pickPlace(text, /[:,\t]/g, draw),
      0,
      pickOne(['null ', 'NaN', '1', '[1]', '{}'], draw),
    ),
  'nothing in it': (_, draw) => pickOne(['', '\n', ' ', '\uFEFF', '[]', '{}', 'null'], draw),
}

const tableMutations: Readonly<Record<string, ChangeText>> = {
  'a cell too many': (text) => text.replace(/\n$/, ',x\n'),
  'a cell missing': (text) => text.replace(/[,\t][^,\t\n]*\n$/, '\n'),
  'another separator': (text) => text.replaceAll(/[,\t]/g, ';'),
  'two columns of one name': (text) => text.replace(/^(\w+)([,\t])(\w+)/, '$1$2$1'),
  'a column without a name': (text) => text.replace(/^\w+/, ''),
  'a quotation mark within': (text, draw) =>
    replaceAt(text, pickPlace(text, /[a-z]/g, draw), 0, '"'),
  'the header alone': (text) => text.split('\n')[0]!,
  'white space around': (text) => text.replaceAll(',', ' , '),
}

type ChangeBytes = (bytes: Uint8Array<ArrayBuffer>, draw: Random) => Uint8Array<ArrayBuffer>

const joinBytes = (...parts: readonly Uint8Array[]): Uint8Array<ArrayBuffer> =>
  new Uint8Array(Buffer.concat(parts))

/** What damages a file that is not text. */
const byteMutations: Readonly<Record<string, ChangeBytes>> = {
  nothing: (bytes) => bytes,
  'cut off': (bytes, draw) => bytes.slice(0, 1 + draw.integer(bytes.length - 1)),
  'a byte differs': (bytes, draw) => {
    const changed = bytes.slice()
    changed[draw.integer(bytes.length)]! ^= 1 << draw.integer(8)
    return changed
  },
  'bytes behind the end': (bytes) => joinBytes(bytes, encode('x\n')),
  'a line end before it': (bytes) => joinBytes(encode('\n'), bytes),
  'another name': (bytes) => bytes,
}

const { files: parquetFiles } = JSON.parse(
  gunzipSync(
    readFileSync(new URL('../../parity/corpus/parquet.json.gz', import.meta.url)),
  ).toString('utf8'),
) as { files: Record<string, string> }
const readTable = (name: string): Uint8Array<ArrayBuffer> =>
  new Uint8Array(Buffer.from(parquetFiles[name]!, 'base64'))

const packers: Readonly<Record<string, (bytes: Uint8Array) => Uint8Array<ArrayBuffer>>> = {
  gz: (bytes) => new Uint8Array(gzipSync(bytes)),
  zst: (bytes) => new Uint8Array(zstdCompressSync(bytes)),
}

/** Text files, each as it is or compressed. */
function createTextFile(i: number, draw: Random): OddFile {
  const container = pickOne(Object.keys(writers), draw)
  const isTable = container === 'CSV' || container === 'TSV'
  const changes = Object.entries(isTable ? { ...textMutations, ...tableMutations } : textMutations)
  const [mutation, change] = changes[i % changes.length]!
  const changed = change(writers[container]!(draw), draw)
  const bytes = typeof changed === 'string' ? encode(changed) : changed
  const name = `${i}.${extensions[container]}`
  return { name, container, mutation, bytes }
}

/** Compressed files and Parquet. */
function createBinaryFile(i: number, draw: Random): OddFile {
  const changes = Object.entries(byteMutations)
  const [mutation, change] = changes[i % changes.length]!
  const kind = pickOne(['gz', 'gz', 'zst', 'parquet', 'parquet', 'parquet'], draw)
  const isOther = mutation === 'another name'
  if (kind === 'parquet') {
    const table = readTable(pickOne(Object.keys(parquetFiles), draw))
    const name = `${i}.${isOther ? pickOne(['jsonl', 'csv', 'json'], draw) : 'parquet'}`
    return { name, container: 'Parquet', mutation, bytes: change(table, draw) }
  }
  const container = pickOne(Object.keys(writers), draw)
  const plain = encode(writers[container]!(draw))
  const packed = packers[kind]!(plain)
  const name = `${i}.${extensions[container]}${isOther ? '' : `.${kind}`}`
  const title = kind === 'gz' ? 'gzip' : 'Zstandard'
  return { name, container: title, mutation, bytes: change(packed, draw) }
}

/** Every Parquet table as it is. */
const listTables = (): OddFile[] =>
  Object.keys(parquetFiles).map((table, i) => ({
    name: `table-${i}.parquet`,
    container: 'Parquet',
    mutation: `table: ${table}`,
    bytes: readTable(table),
  }))

/** The odd files of the corpus, the same each time. */
export function createOddFiles(count = 600, seed = 12): OddFile[] {
  const draw = random(seed)
  const made = Array.from({ length: count }, (_, i) =>
    i % 3 === 2 ? createBinaryFile((i - 2) / 3, draw) : createTextFile(i, draw),
  )
  return [...listTables(), ...made.map((file, i) => ({ ...file, name: `${i}-${file.name}` }))]
}
