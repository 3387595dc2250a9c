// Reads GGUF files, versions 2 and 3: the head at once, each tensor when it is read. Trusts no
// count, length or offset. Why not a library: docs/decisions/0002-own-gguf-reader.md. What names
// and metadata mean is for names.ts and others.

import { blockLayout, countBytes, type DType, isBlockType } from '../../base/dtype.ts'
import { FormatError, UnsupportedError } from '../../base/errors.ts'
import { fromBytes } from '../../base/tensor.ts'
import type { ByteSource } from '../byte-source.ts'
import { refuseLfsPointer } from '../lfs-pointer.ts'
import { joinProblems, quoteName, computeSafeProduct } from '../quote.ts'
import { GgufCursor } from './cursor.ts'
import { readMetadata } from './metadata.ts'
import {
  defaultAlignmentBytes,
  foreignGgmlTypes,
  ggmlTypes,
  ggufMagic,
  type GgufFile,
  type GgufTensorInfo,
  type GgufValue,
  mostDimensions,
} from './types.ts'
import { getEntry } from '../tensor-store.ts'
import { isSplit, joinSplit } from './split.ts'

/** A tensor as the head describes it, before it is checked. */
interface Claim {
  readonly name: string
  readonly shape: readonly (number | bigint)[]
  readonly typeNumber: number
  readonly offset: number | bigint
}

/**
 * Opens a GGUF file; of one that llama.cpp has split, all parts, which are next to the given one.
 * Throws FormatError, naming the file and the key or tensor, for anything that contradicts the
 * format or the file's size; UnsupportedError for other versions, big-endian files and element
 * types that Graft does not know.
 */
export async function openGguf(source: ByteSource): Promise<GgufFile> {
  const file = await openPart(source)
  return isSplit(file) ? joinSplit(source, file, openPart) : file
}

/** One file, whether whole or a part. */
async function openPart(source: ByteSource): Promise<GgufFile> {
  const cursor = new GgufCursor(source)
  const version = await readVersion(cursor, source)
  // the shortest entry: empty name, no dimensions
  const tensorCount = await cursor.count(24, () => 'the list of tensors')
  const keyCount = await cursor.count(13, () => 'the metadata') // the shortest: empty key, one byte
  const entries = await readMetadata(cursor, keyCount)
  const claims = await readClaims(cursor, tensorCount)
  const alignment = readAlignment(cursor, entries.get('general.alignment')?.value)
  const tensors = resolveClaims(claims, {
    name: source.name,
    dataStart: roundUp(cursor.position, alignment),
    alignment,
    sizeBytes: source.sizeBytes,
  })
  return {
    name: source.name,
    version,
    metadata: new Map([...entries].map(([key, { value }]) => [key, value])),
    metadataTypes: new Map([...entries].map(([key, { type }]) => [key, type])),
    tensors,
    read: async (name, take) => {
      const { type, shape, offset, sizeBytes } = getEntry(tensors, name, source.name)
      return fromBytes(
        type,
        shape,
        sizeBytes === 0 ? new Uint8Array(0) : await source.read(offset, sizeBytes, take),
      )
    },
    close: async () => source.close?.(),
  }
}

async function readVersion(cursor: GgufCursor, source: ByteSource): Promise<number> {
  const magic = await cursor.next('u32', () => 'its first four bytes')
  if (magic !== ggufMagic) {
    await refuseLfsPointer(source)
    cursor.fail('it does not begin with "GGUF"')
  }
  const version = Number(await cursor.next('u32', () => 'its version'))
  if (version === 2 || version === 3) return version
  // A big-endian file's version has its low byte at the other end.
  const kind =
    version !== 0 && (version & 0xffff) === 0
      ? 'big-endian GGUF files are'
      : `GGUF version ${version} is`
  throw new UnsupportedError(
    `${source.name}: ${kind} not supported, only versions 2 and 3, little-endian. Convert it with a current llama.cpp.`,
  )
}

const roundUp = (position: number, alignment: number): number =>
  Math.ceil(position / alignment) * alignment

function readAlignment(cursor: GgufCursor, value: GgufValue = defaultAlignmentBytes): number {
  if (
    typeof value !== 'number' ||
    !(value >= 1 && value <= 2 ** 31) ||
    !Number.isInteger(Math.log2(value))
  ) {
    return cursor.fail(
      `metadata "general.alignment" must be a power of two, got ${typeof value === 'number' ? value : typeof value}`,
    )
  }
  return value
}

async function readClaims(cursor: GgufCursor, count: number): Promise<Claim[]> {
  const claims: Claim[] = []
  for (let i = 0; i < count; i++) {
    const name = await cursor.string(() => `the name of tensor ${i + 1} of ${count}`, 'name')
    const what = (): string => `the description of tensor ${quoteName(name)}`
    const dimensions = Number(await cursor.next('u32', what))
    if (dimensions > mostDimensions)
      cursor.fail(
        `tensor ${quoteName(name)} claims ${dimensions} dimensions, at most ${mostDimensions} are allowed`,
      )
    const shape: (number | bigint)[] = []
    // the file has the innermost first
    for (let d = 0; d < dimensions; d++) shape.unshift(await cursor.next('u64', what))
    claims.push({
      name,
      shape,
      typeNumber: Number(await cursor.next('u32', what)),
      offset: await cursor.next('u64', what),
    })
  }
  return claims
}

interface FileLayout {
  readonly name: string
  readonly dataStart: number
  readonly alignment: number
  readonly sizeBytes: number
}

function resolveClaims(claims: readonly Claim[], place: FileLayout): Map<string, GgufTensorInfo> {
  const tensors = new Map<string, GgufTensorInfo>()
  const problems: string[] = []
  const unsupported: string[] = []
  for (const claim of claims) {
    const type = ggmlTypes.get(claim.typeNumber)
    const name = quoteName(claim.name)
    if (tensors.has(claim.name)) problems.push(`${name}: is listed twice`)
    if (!type) {
      unsupported.push(
        `${name}: element type ${foreignGgmlTypes.get(claim.typeNumber) ?? claim.typeNumber}`,
      )
      continue
    }
    const info = resolveClaim(claim, type, place)
    if (typeof info === 'string') problems.push(`${name}: ${info}`)
    else tensors.set(claim.name, info)
  }
  problems.push(...findOverlapProblems(tensors))
  if (problems.length > 0)
    throw new FormatError(
      `${place.name}: the GGUF file is truncated or corrupt:\n${joinProblems(problems)}`,
    )
  if (unsupported.length > 0) {
    const known = [...ggmlTypes.values()].map((type) => type.toUpperCase()).join(', ')
    throw new UnsupportedError(
      `${place.name}: contains tensors of types that are not supported:\n${joinProblems(unsupported)}\nSupported: ${known}.`,
    )
  }
  return tensors
}

/** The tensor's place in the file, or what is wrong with it. */
function resolveClaim(
  { shape, offset }: Claim,
  type: DType,
  { dataStart, alignment, sizeBytes: fileBytes }: FileLayout,
): GgufTensorInfo | string {
  const dims = shape.filter((dim) => typeof dim === 'number')
  // 8: the widest element must not overflow either
  const elements = dims.length === shape.length ? computeSafeProduct([...dims, 8]) : undefined
  if (elements === undefined) return `the product of its shape [${shape.join(', ')}] overflows`
  const perBlock = isBlockType(type) ? blockLayout[type].elements : 1
  if ((dims.at(-1) ?? 1) % perBlock !== 0)
    return `its rows have ${dims.at(-1) ?? 1} elements, ${type} needs a multiple of ${perBlock}`
  if (typeof offset === 'bigint') return `its offset ${offset} is outside the file`
  if (offset % alignment !== 0)
    return `its offset ${offset} is not a multiple of the alignment ${alignment}`
  const sizeBytes = countBytes(type, elements / 8)
  const end = dataStart + offset + sizeBytes
  if (sizeBytes > 0 && end > fileBytes)
    return `${type} [${dims.join(', ')}] at offset ${offset} ends at byte ${end}, the file has ${fileBytes}`
  return { type, shape: dims, offset: dataStart + offset, sizeBytes }
}

function findOverlapProblems(tensors: ReadonlyMap<string, GgufTensorInfo>): string[] {
  const inOrder = [...tensors]
    .filter(([, { sizeBytes }]) => sizeBytes > 0)
    .sort(([, a], [, b]) => a.offset - b.offset)
  return inOrder.flatMap(([name, { offset }], i) => {
    const before = inOrder[i - 1]
    if (!before || offset >= before[1].offset + before[1].sizeBytes) return []
    return [`${quoteName(name)}: begins at byte ${offset}, within ${quoteName(before[0])}`]
  })
}
