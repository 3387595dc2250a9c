// A GGUF that llama.cpp has split: files of one name with -00001-of-0000N, of which the first has
// the metadata and each some of the tensors. Read as one file.

import { FormatError, NotFoundError } from '../../base/errors.ts'
import type { ByteSource } from '../byte-source.ts'
import { joinProblems, quoteName } from '../quote.ts'
import { getEntry } from '../tensor-store.ts'
import type { GgufFile, GgufTensorInfo } from './types.ts'

const numberKey = 'split.no'
const countKey = 'split.count'
const tensorsKey = 'split.tensors.count'

/** Everything that comes before the part's number in a file's name, and the number of parts. */
const partName = /^(.*)-\d{5}-of-(\d{5})\.gguf$/

/** The file name of a part, from 1, as llama.cpp writes it. */
const formatPartName = (prefix: string, part: number, count: number): string =>
  `${prefix}-${String(part).padStart(5, '0')}-of-${String(count).padStart(5, '0')}.gguf`

/**
 * The file names of all parts of a split GGUF, by that of one of them; undefined for a whole one.
 */
export function listSplitNames(fileName: string): string[] | undefined {
  const [, prefix, digits] = partName.exec(fileName) ?? []
  if (prefix === undefined) return undefined
  const count = Number(digits)
  return Array.from({ length: count }, (_, i) => formatPartName(prefix, i + 1, count))
}

/** The name of the whole: that of a part without its number. */
export const removePartNumber = (fileName: string): string => fileName.replace(partName, '$1.gguf')

export const isSplit = ({ metadata }: GgufFile): boolean => Number(metadata.get(countKey) ?? 1) > 1

interface SplitPlace {
  /** From 0. */
  readonly at: number
  readonly count: number
  /** Of all parts together. */
  readonly tensors: number | undefined
}

const readPlace = ({ metadata }: GgufFile): SplitPlace => ({
  at: Number(metadata.get(numberKey) ?? 0),
  count: Number(metadata.get(countKey) ?? 1),
  tensors: metadata.has(tensorsKey) ? Number(metadata.get(tensorsKey)) : undefined,
})

/**
 * All parts as one file, from any of them. Throws NotFoundError for parts that are missing,
 * FormatError for parts of another split and for tensors that are missing or doubled.
 */
export async function joinSplit(
  source: ByteSource,
  file: GgufFile,
  openPart: (source: ByteSource) => Promise<GgufFile>,
): Promise<GgufFile> {
  const opened: GgufFile[] = [file]
  const close = async (): Promise<void> =>
    void (await Promise.all(opened.map((part) => part.close())))
  try {
    const names = listPartNames(file)
    const parts = new Map<string, GgufFile>()
    const missing: string[] = []
    for (const name of names) {
      if (name === getFileName(file.name)) {
        parts.set(name, file)
        continue
      }
      const other = await source.openBeside?.(name)
      if (!other) missing.push(name)
      else {
        const part = await openPart(other)
        opened.push(part)
        parts.set(name, part)
      }
    }
    if (missing.length > 0)
      throw new NotFoundError(
        `${file.name}: is one of ${names.length} parts of a split GGUF, of which ${missing.join(', ')} ` +
          `${missing.length === 1 ? 'is' : 'are'} not in the same folder. Put all parts into one folder.`,
      )
    return joinParts([...parts.values()], close)
  } catch (error) {
    await close()
    throw error
  }
}

const getFileName = (path: string): string => path.split(/[\\/]/).at(-1)!

/** Throws FormatError if the name does not say which part the file is, as its metadata does. */
function listPartNames(file: GgufFile): string[] {
  const { at, count } = readPlace(file)
  const fileName = getFileName(file.name)
  const names = listSplitNames(fileName)
  if (names?.length === count && names[at] === fileName) return names
  const expected = formatPartName('model', at + 1, count)
  throw new FormatError(
    `${file.name}: is part ${at + 1} of ${count} of a split GGUF, and its name does not say so, ` +
      `so that the other parts cannot be found. Got ${quoteName(fileName)}, expected a name such as ${expected}.`,
  )
}

function joinParts(parts: readonly GgufFile[], close: () => Promise<void>): GgufFile {
  const first = parts[0]!
  const owners = new Map<string, GgufFile>()
  const tensors = new Map<string, GgufTensorInfo>()
  const problems = parts.flatMap((part, at) => listStrangerProblems(first, part, at))
  for (const part of parts)
    for (const [name, info] of part.tensors) {
      const owner = owners.get(name)
      if (owner) problems.push(`${quoteName(name)}: is in ${owner.name} and in ${part.name}`)
      owners.set(name, part)
      tensors.set(name, info)
    }
  const { tensors: expected } = readPlace(first)
  if (problems.length === 0 && expected !== undefined && tensors.size !== expected)
    problems.push(`the parts hold ${tensors.size} tensors, expected ${expected} (${tensorsKey})`)
  if (problems.length > 0)
    throw new FormatError(
      `${first.name}: its ${parts.length} parts do not belong together:\n${joinProblems(problems)}`,
    )
  return {
    name: first.name,
    version: first.version,
    metadata: withoutSplitKeys(first.metadata),
    metadataTypes: withoutSplitKeys(first.metadataTypes),
    tensors,
    read: async (name, take) => getEntry(owners, name, first.name).read(name, take),
    close,
  }
}

/** What shows that a part is of another split than the first, or of another place in it. */
function listStrangerProblems(first: GgufFile, part: GgufFile, at: number): string[] {
  const { count, tensors } = readPlace(first)
  const got = readPlace(part)
  const compared: readonly (readonly [key: string, got: unknown, expected: unknown])[] = [
    [numberKey, got.at, at],
    [countKey, got.count, count],
    [tensorsKey, got.tensors, tensors],
    ...['general.architecture', 'general.name'].flatMap((key) =>
      part.metadata.has(key)
        ? [[key, part.metadata.get(key), first.metadata.get(key)] as const]
        : [],
    ),
  ]
  const show = (value: unknown): string => JSON.stringify(value) ?? 'nothing'
  return compared.flatMap(([key, value, expected]) =>
    value === expected
      ? []
      : [`${part.name}: ${key}: got ${show(value)}, expected ${show(expected)}`],
  )
}

const withoutSplitKeys = <Value>(entries: ReadonlyMap<string, Value>): Map<string, Value> =>
  new Map([...entries].filter(([key]) => !key.startsWith('split.')))
