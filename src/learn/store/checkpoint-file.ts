// One checkpoint as bytes: whole, or a delta of the blocks that differ from its parent. Everything
// read is checked before it is used.
//
//     "graftck" 0 · u32 version · u32 header bytes · header (JSON) · changed blocks of 4 KB, the last one shorter · SHA-256 of all before
//
// Independent of stores and users.

import { FormatError, UnsupportedError } from '../../base/errors.ts'
import { hasSameBytes, computeSha256 } from '../../base/sha256.ts'
import { isRecord } from '../../base/schema.ts'
import { findJsonProblem } from '../../formats/json-problem.ts'
import { type StateForm, stateForms, type TensorEntry } from './state-image.ts'
import type { UserState } from './user-state.ts'

/** Small enough for a rank-2 adapter's change, large enough that hashing each block is cheap. */
export const blockBytes = 4096

export interface CheckpointHeader {
  /** Milliseconds since 1970, given by the caller. */
  readonly time: number
  readonly form: StateForm
  /** The checkpoint that this is a delta against, and the hash at the end of its file. */
  readonly parent?: { readonly sequence: number; readonly hash: string }
  /** The whole checkpoint at the start of the chain: its own number in a whole one. */
  readonly base: number
  readonly imageBytes: number
  /** SHA-256 of the image after the blocks replaced the parent's. */
  readonly imageHash: string
  /** Numbers of the blocks that follow, rising. */
  readonly blocks: readonly number[]
  readonly places: readonly TensorEntry[]
  readonly header: UserState['header']
  readonly exact?: readonly string[]
}

const magic = new TextEncoder().encode('graftck\0')
const version = 1
const hashBytes = 32
const startBytes = magic.length + 8
const maxHeaderDepth = 64 // of nested statistics

export const countBlocks = (imageBytes: number): number => Math.ceil(imageBytes / blockBytes)
export const blockOf = (image: Uint8Array, block: number): Uint8Array =>
  image.subarray(block * blockBytes, (block + 1) * blockBytes)

/** The file of a header and of the image whose blocks it names. */
export async function encodeCheckpoint(
  header: CheckpointHeader,
  image: Uint8Array,
): Promise<{ file: Uint8Array; hash: Uint8Array }> {
  const json = new TextEncoder().encode(JSON.stringify(header))
  const payloadBytes = header.blocks.reduce((sum, block) => sum + blockOf(image, block).length, 0)
  const file = new Uint8Array(startBytes + json.length + payloadBytes + hashBytes)
  file.set(magic)
  const view = new DataView(file.buffer)
  view.setUint32(magic.length, version, true)
  view.setUint32(magic.length + 4, json.length, true)
  file.set(json, startBytes)
  let at = startBytes + json.length
  for (const block of header.blocks) {
    const bytes = blockOf(image, block)
    file.set(bytes, at)
    at += bytes.length
  }
  const hash = await computeSha256(file.subarray(0, at))
  file.set(hash, at)
  return { file, hash }
}

export interface DecodedCheckpoint {
  readonly header: CheckpointHeader
  readonly hash: Uint8Array
  /** The changed blocks, one after another. */
  readonly payload: Uint8Array
}

/**
 * Reads a file. Throws FormatError for one that is torn or changed, UnsupportedError for one of a
 * newer version; both show `name`.
 */
export async function decodeCheckpoint(name: string, file: Uint8Array): Promise<DecodedCheckpoint> {
  if (file.length < startBytes + hashBytes || !hasSameBytes(file.subarray(0, magic.length), magic))
    throw new FormatError(`${name}: is not a checkpoint, or is incomplete (${file.length} bytes).`)
  const view = new DataView(file.buffer, file.byteOffset, file.length)
  const found = view.getUint32(magic.length, true)
  if (found > version)
    throw new UnsupportedError(
      `${name}: was written by a newer version (layout ${found}, this one reads up to ${version}). Update Graft to read it.`,
    )
  const hash = file.slice(-hashBytes)
  if (!hasSameBytes(hash, await computeSha256(file.subarray(0, -hashBytes))))
    throw new FormatError(
      `${name}: its bytes differ from those that were written; it is incomplete or was changed.`,
    )
  const headerEnd = startBytes + view.getUint32(magic.length + 4, true)
  if (headerEnd > file.length - hashBytes)
    throw new FormatError(`${name}: its header is longer than the file.`)
  const header = readHeader(name, file.subarray(startBytes, headerEnd))
  const payload = file.subarray(headerEnd, file.length - hashBytes)
  const expected = header.blocks.reduce(
    (sum, block) => sum + Math.min(blockBytes, header.imageBytes - block * blockBytes),
    0,
  )
  if (payload.length !== expected)
    throw new FormatError(
      `${name}: ${payload.length} bytes of blocks follow its header, expected ${expected}.`,
    )
  return { header, hash, payload }
}

function readHeader(name: string, bytes: Uint8Array): CheckpointHeader {
  let value: unknown
  try {
    const text = new TextDecoder('utf-8', { fatal: true }).decode(bytes as Uint8Array<ArrayBuffer>)
    if (findJsonProblem(text, maxHeaderDepth) === undefined) value = JSON.parse(text)
  } catch {
    // undefined is refused below
  }
  const wrong = isRecord(value)
    ? Object.entries(fields)
        .filter(([key, isRight]) => !isRight(value[key], value))
        .map(([key]) => key)
    : ['all']
  if (wrong.length > 0)
    throw new FormatError(`${name}: its header is wrong in: ${wrong.join(', ')}.`)
  return value as unknown as CheckpointHeader
}

const isCount = (value: unknown): value is number =>
  Number.isSafeInteger(value) && (value as number) >= 0
const isHash = (value: unknown): boolean =>
  typeof value === 'string' && /^[0-9a-f]{64}$/.test(value)
const isNameList = (value: unknown): boolean =>
  Array.isArray(value) && value.every((item) => typeof item === 'string')

/** Checks of a header's fields. */
const fields: Readonly<
  Record<
    keyof CheckpointHeader,
    (value: unknown, header: Readonly<Record<string, unknown>>) => boolean
  >
> = {
  time: (value) => typeof value === 'number' && Number.isFinite(value),
  form: (value) => stateForms.includes(value as StateForm),
  parent: (value) =>
    value === undefined || (isRecord(value) && isCount(value['sequence']) && isHash(value['hash'])),
  base: isCount,
  imageBytes: isCount,
  imageHash: isHash,
  blocks: (value, { imageBytes, parent }) =>
    Array.isArray(value) &&
    value.every(
      (block, i) =>
        isCount(block) &&
        block < countBlocks(imageBytes as number) &&
        (i === 0 || block > value[i - 1]),
    ) &&
    (parent !== undefined || value.length === countBlocks(imageBytes as number)),
  places: (value) =>
    Array.isArray(value) &&
    value.every(
      (place) =>
        isRecord(place) &&
        typeof place['name'] === 'string' &&
        typeof place['stored'] === 'string' &&
        isCount(place['offset']) &&
        Array.isArray(place['shape']) &&
        place['shape'].every(isCount),
    ),
  header: isRecord,
  exact: (value) => value === undefined || isNameList(value),
}

/**
 * The image: the parent's with the file's blocks in it. Throws FormatError if blocks are missing.
 */
export function assembleImage(
  name: string,
  { header, payload }: DecodedCheckpoint,
  parent: Uint8Array | undefined,
): Uint8Array {
  const { imageBytes, blocks } = header
  if (imageBytes > payload.length + (parent?.length ?? 0))
    throw new FormatError(`${name}: blocks are missing.`)
  const image = new Uint8Array(imageBytes)
  if (parent) image.set(parent.subarray(0, imageBytes))
  let at = 0
  for (const block of blocks) {
    const length = Math.min(blockBytes, imageBytes - block * blockBytes)
    image.set(payload.subarray(at, at + length), block * blockBytes)
    at += length
  }
  return image
}
