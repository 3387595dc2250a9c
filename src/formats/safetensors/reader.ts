// Reads safetensors files lazily: the header at once, each tensor when it is read. Checks every
// value of the header. Layout: u64 header length, JSON header, then the tensors' bytes without gaps
// (github.com/huggingface/safetensors, README "Format").

import { elementBytes, type PlainType } from '../../base/dtype.ts'
import { FormatError, UnsupportedError } from '../../base/errors.ts'
import { fromBytes } from '../../base/tensor.ts'
import type { ByteSource } from '../byte-source.ts'
import { refuseLfsPointer } from '../lfs-pointer.ts'
import { joinProblems, quoteName, computeSafeProduct } from '../quote.ts'
import { findJsonProblem } from '../json-problem.ts'
import { safetensorsTypes } from './types.ts'
import { getEntry, type TensorInfo, type TensorStore } from '../tensor-store.ts'

const headerLimitBytes = 100_000_000 // the reference library's own limit
const deepestHeader = 8 // a sound header has three levels: the tensors, one tensor, its shape

interface Entry extends TensorInfo {
  readonly dtype: PlainType
  /** Within the file. */
  readonly offset: number
}

/**
 * Opens a safetensors file. Throws FormatError, naming the file and every bad tensor, when the
 * header is no valid JSON object, a shape does not fit its byte range, or ranges overlap, leave
 * holes or end elsewhere than the file; UnsupportedError for an element type that Graft does not
 * know.
 */
export async function openSafetensors(source: ByteSource): Promise<TensorStore> {
  const { header, dataStart } = await readHeader(source)
  const { __metadata__: metadata = {}, ...listing } = header
  if (!isRecord(metadata) || Object.values(metadata).some((value) => typeof value !== 'string')) {
    throw new FormatError(
      `${source.name}: safetensors header: __metadata__ must map strings to strings.`,
    )
  }
  const tensors = readEntries(source.name, listing, dataStart)
  checkRanges(source.name, tensors, dataStart, source.sizeBytes)
  return {
    name: source.name,
    tensors,
    metadata,
    read: async (name, take) => {
      const { dtype, shape, offset, sizeBytes } = getEntry(tensors, name, source.name)
      return fromBytes(
        dtype,
        shape,
        sizeBytes === 0 ? new Uint8Array(0) : await source.read(offset, sizeBytes, take),
      )
    },
    close: async () => source.close?.(),
  }
}

async function readHeader(
  source: ByteSource,
): Promise<{ header: Record<string, unknown>; dataStart: number }> {
  const fail = (problem: string, cause?: unknown): never => {
    throw new FormatError(`${source.name}: not a valid safetensors file: ${problem}.`, { cause })
  }
  if (source.sizeBytes < 8)
    fail(`it has ${source.sizeBytes} bytes, the length of the header alone takes 8`)
  const start = await source.read(0, 8)
  const lengthBytes = new DataView(start.buffer, start.byteOffset, 8).getBigUint64(0, true)
  if (lengthBytes > BigInt(source.sizeBytes - 8)) {
    await refuseLfsPointer(source)
    fail(
      `its header claims ${lengthBytes} bytes, but only ${source.sizeBytes - 8} follow; the file is truncated or of another format`,
    )
  }
  if (lengthBytes > headerLimitBytes)
    fail(`its header claims ${lengthBytes} bytes, at most ${headerLimitBytes} are allowed`)
  const headerBytes = await source.read(8, Number(lengthBytes))
  let header: unknown
  try {
    const text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(headerBytes)
    const problem = findJsonProblem(text, deepestHeader)
    if (problem !== undefined) fail(`its header ${problem}`)
    header = JSON.parse(text)
  } catch (error) {
    if (error instanceof FormatError) throw error
    fail('its header is not JSON', error)
  }
  if (!isRecord(header)) return fail('its header is not a JSON object')
  return { header, dataStart: 8 + Number(lengthBytes) }
}

function readEntries(
  fileName: string,
  listing: Record<string, unknown>,
  dataStart: number,
): Map<string, Entry> {
  const entries = new Map<string, Entry>()
  const problems: string[] = []
  const unsupported: string[] = []
  for (const [name, value] of Object.entries(listing)) {
    const dtypeName = isRecord(value) ? value['dtype'] : undefined
    if (typeof dtypeName === 'string' && !safetensorsTypes.has(dtypeName)) {
      unsupported.push(`${quoteName(name)}: element type ${quoteName(dtypeName)}`)
      continue
    }
    const entry = readEntry(value, dataStart)
    if (typeof entry === 'string') problems.push(`${quoteName(name)}: ${entry}`)
    else entries.set(name, entry)
  }
  if (problems.length > 0)
    throw new FormatError(
      `${fileName}: the safetensors header describes tensors wrongly:\n${joinProblems(problems)}`,
    )
  if (unsupported.length > 0) {
    throw new UnsupportedError(
      `${fileName}: contains tensors of types that are not supported:\n${joinProblems(unsupported)}\nSupported: ${[...safetensorsTypes.keys()].join(', ')}.`,
    )
  }
  return entries
}

/** The entry, or what is wrong with it. */
function readEntry(value: unknown, dataStart: number): Entry | string {
  if (!isRecord(value)) return 'is not an object with dtype, shape and data_offsets'
  const { dtype: dtypeName, shape, data_offsets: range } = value
  const dtype = typeof dtypeName === 'string' ? safetensorsTypes.get(dtypeName) : undefined
  if (dtype === undefined) return 'has no dtype'
  if (!isCountList(shape))
    return `shape must be a list of integers ≥ 0, got ${describeValue(shape)}`
  if (!isCountList(range) || range.length !== 2)
    return `data_offsets must be two integers ≥ 0, got ${describeValue(range)}`
  const [begin, end] = range as [number, number]
  if (end < begin) return `data_offsets end before they begin: [${begin}, ${end}]`
  const size = computeSafeProduct([...shape, elementBytes[dtype]])
  if (size === undefined) return `the product of its shape ${describeValue(shape)} overflows`
  if (size !== end - begin)
    return `${dtypeName} ${describeValue(shape)} takes ${size} bytes, but data_offsets [${begin}, ${end}] span ${end - begin}`
  return { dtype, shape, sizeBytes: size, offset: dataStart + begin }
}

/** Every byte behind the header must belong to exactly one tensor. */
function checkRanges(
  fileName: string,
  tensors: ReadonlyMap<string, Entry>,
  dataStart: number,
  fileSizeBytes: number,
): void {
  const problems: string[] = []
  let position = dataStart
  const inOrder = [...tensors].sort(
    ([, a], [, b]) => a.offset - b.offset || a.sizeBytes - b.sizeBytes,
  )
  for (const [name, { offset, sizeBytes }] of inOrder) {
    const end = offset + sizeBytes
    if (end > fileSizeBytes)
      problems.push(`${quoteName(name)}: ends at byte ${end}, the file has ${fileSizeBytes}`)
    else if (offset < position)
      problems.push(
        `${quoteName(name)}: begins at byte ${offset} and overlaps the tensor that ends at ${position}`,
      )
    else if (offset > position)
      problems.push(
        `${quoteName(name)}: begins at byte ${offset} and leaves a hole after ${position}`,
      )
    position = Math.max(position, end)
  }
  if (position < fileSizeBytes)
    problems.push(`${fileSizeBytes - position} bytes at the end of the file belong to no tensor`)
  if (problems.length > 0)
    throw new FormatError(
      `${fileName}: the tensors' bytes do not fit the file; it is truncated or corrupt:\n${joinProblems(problems)}`,
    )
}

const isRecord = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

const isCountList = (value: unknown): value is number[] =>
  Array.isArray(value) &&
  value.every((item) => typeof item === 'number' && Number.isSafeInteger(item) && item >= 0)

/** Never goes deeper than one level: a malicious header may nest a million lists. */
function describeValue(value: unknown): string {
  if (!Array.isArray(value))
    return typeof value === 'object' && value !== null ? 'an object' : String(value).slice(0, 80)
  const items = value
    .slice(0, 8)
    .map((item: unknown) =>
      typeof item === 'object' && item !== null ? '…' : String(item).slice(0, 24),
    )
  return `[${items.join(', ')}${value.length > 8 ? ', …' : ''}]`
}
