// The element types of an adapter's tensors in files, and decoding. 8 and 4 bits are blocks with
// scales (formats/block-code.ts):
//
//     int8: <key>.q I8 [shape of the tensor]      <key>.scale BF16 [⌈values/64⌉]
//     int4: <key>.q U8 [⌈values/2⌉]               <key>.scale BF16 [⌈values/64⌉]     shape in the header
//
// The header's `graft.storage` holds version, type, block size and, for int4, shapes. Independent
// of folders.

import { FormatError, OptionError, UnsupportedError } from '../../base/errors.ts'
import { f32, sizeOf, type Tensor } from '../../base/tensor.ts'
import {
  listBadScales,
  type BlockCodeName,
  blockCodes,
  computeBlockSizes,
  blockValues,
  encodeBlocks,
  type EncodedBlocks,
} from '../../formats/block-code.ts'
import { toFloat32 } from '../../formats/convert.ts'
import { joinProblems } from '../../formats/quote.ts'
import { encodeAsDtype } from '../../formats/encode-dtype.ts'
import { findJsonProblem } from '../../formats/json-problem.ts'
import { type Adapter, checkFinite } from '../adapter.ts'
import { isRecord } from '../../base/schema.ts'
import { unpackTensor } from '../packed/fill.ts'
import { shouldKeepType } from '../packed/pack-adapter.ts'
import {
  createBlockTensor,
  isPackedTensor,
  type PackedTensor,
  toBlockCodeName,
} from '../packed/packed-tensor.ts'
import { PackedTensorMap } from '../packed/tensor-map.ts'

export const storageTypes = ['f32', 'f16', 'bf16', 'int8', 'int4'] as const
export type StorageType = (typeof storageTypes)[number]

export const isBlockStorage = (dtype: string): dtype is BlockCodeName =>
  Object.hasOwn(blockCodes, dtype)

/** The content of a tensor file: tensors by name, and the header's strings. */
export interface StoredTensors {
  readonly tensors: ReadonlyMap<string, Tensor>
  readonly metadata: Readonly<Record<string, string>>
}

type AdapterTensors = Pick<Adapter, 'kind' | 'config' | 'tensors'>

const headerKey = 'graft.storage'
const codesName = '.q'
const scaleName = '.scale'
const version = 1
const deepestHeader = 4 // an object of an object of lists, and one more level

/**
 * The tensors in this element type. For block types, tensors for which `shouldKeepType` is true
 * keep theirs, and a packed adapter's blocks are unchanged. Throws NumericError that names the
 * tensor for values that f16 or a block cannot hold, OptionError for another type.
 */
export function encodeAdapterTensors(adapter: AdapterTensors, dtype: StorageType): StoredTensors {
  if (!storageTypes.includes(dtype))
    throw new OptionError(
      `Adapter files hold ${storageTypes.join(', ')}; got dtype ${JSON.stringify(dtype)}.`,
    )
  const { tensors } = adapter
  if (!isBlockStorage(dtype)) {
    const floats = [...tensors].map(([key, { shape, ...tensor }]): [string, Tensor] => [
      key,
      encodeAsDtype(key, f32(shape, toFloat32({ shape, ...tensor })), dtype),
    ])
    return { tensors: new Map(floats), metadata: {} }
  }
  checkFinite(adapter)
  const stored = new Map<string, Tensor>()
  const shapes: Record<string, readonly number[]> = {}
  const blocksOf = createBlockReader(adapter, dtype)
  for (const [key, tensor] of tensors) {
    const blocks = blocksOf(key, tensor)
    if (!blocks) {
      stored.set(key, tensor)
      continue
    }
    const code = blockCodes[dtype]
    const { codes, scales } = blocks
    stored.set(key + codesName, {
      dtype: code.dtype,
      shape: code.codesPerByte === 1 ? tensor.shape : [codes.length],
      data: codes,
    })
    stored.set(key + scaleName, { dtype: 'bf16', shape: [scales.length], data: scales })
    if (code.codesPerByte > 1) shapes[key] = tensor.shape
  }
  const header = {
    version,
    dtype,
    blockSize: blockValues,
    ...(blockCodes[dtype].codesPerByte > 1 ? { shapes } : {}),
  }
  return { tensors: stored, metadata: { [headerKey]: JSON.stringify(header) } }
}

/**
 * The blocks in which a tensor is stored; undefined if it keeps its type. For an adapter that is
 * packed in this type, they are its own, so that the file has the same bytes again.
 */
function createBlockReader(
  adapter: AdapterTensors,
  dtype: BlockCodeName,
): (key: string, tensor: Tensor) => EncodedBlocks | undefined {
  const { tensors } = adapter
  if (getPackedType(adapter) === dtype && tensors instanceof PackedTensorMap)
    return (key) => {
      const held = tensors.getHeld(key)!
      return isPackedTensor(held) ? (held as EncodedBlocks) : undefined
    }
  return (key, tensor) =>
    shouldKeepType(adapter, key, tensor)
      ? undefined
      : encodeBlocks(blockCodes[dtype], toFloat32(tensor))
}

/** The block type in which an adapter is packed; undefined for 16 bits, or if it is not packed. */
export const getPackedType = ({ tensors }: Pick<Adapter, 'tensors'>): BlockCodeName | undefined =>
  tensors instanceof PackedTensorMap && tensors.bits !== 16
    ? toBlockCodeName(tensors.bits)
    : undefined

/** The adapter after a round trip through this type, without a file. */
export function asStored<Of extends AdapterTensors>(adapter: Of, dtype: StorageType): Of {
  return {
    ...adapter,
    tensors: unpackTensors(
      readHeldTensors(
        encodeAdapterTensors(adapter, dtype),
        isBlockStorage(dtype) ? dtype : undefined,
        'memory',
      ).tensors,
    ),
  }
}

/** The same, with tensors in blocks left packed. */
export interface HeldTensors {
  readonly tensors: ReadonlyMap<string, Tensor | PackedTensor>
  readonly metadata: Readonly<Record<string, string>>
}

/** Tensors as plain values; those in blocks become f32. */
export const unpackTensors = (tensors: HeldTensors['tensors']): Map<string, Tensor> =>
  new Map(
    [...tensors].map(([key, held]) => [key, isPackedTensor(held) ? unpackTensor(held) : held]),
  )

/**
 * The tensors of a file whose configuration declares blocks, as views of the file's bytes, and the
 * header's other strings. Throws FormatError that lists every problem (codes without scales, wrong
 * lengths, scales that are NaN), and UnsupportedError for another version.
 */
export function readHeldTensors(
  file: StoredTensors,
  dtype: BlockCodeName | undefined,
  fileName: string,
): HeldTensors {
  const { [headerKey]: header, ...metadata } = file.metadata
  if (dtype === undefined) return { tensors: file.tensors, metadata }
  const shapes = readHeader(header, dtype, fileName)
  const tensors = new Map<string, Tensor | PackedTensor>()
  const problems: string[] = []
  for (const [name, tensor] of sortAsSaved(file.tensors, shapes)) {
    const key = removeEnding(name, codesName)
    if (key !== undefined) {
      const restored = readBlocks(
        dtype,
        tensor,
        file.tensors.get(key + scaleName),
        shapes?.get(key),
      )
      if (typeof restored === 'string') problems.push(`${key}: ${restored}`)
      else tensors.set(key, restored)
    } else if (removeEnding(name, scaleName) === undefined) tensors.set(name, tensor)
    else if (!file.tensors.has(removeEnding(name, scaleName)! + codesName))
      problems.push(`${name}: there are no codes for these scales`)
  }
  for (const key of shapes?.keys() ?? [])
    if (!file.tensors.has(key + codesName)) problems.push(`${key}: has a shape and no codes`)
  if (problems.length > 0)
    throw new FormatError(
      `${fileName}: its ${dtype} blocks are incomplete; the file is damaged or was changed:\n${joinProblems(problems)}`,
    )
  return { tensors, metadata }
}

/** In the order of the header's shapes, so that the header is the same when it is written again. */
function sortAsSaved(
  tensors: StoredTensors['tensors'],
  shapes: ReadonlyMap<string, unknown> | undefined,
): ReadonlyMap<string, Tensor> {
  const names = [...(shapes?.keys() ?? [])].map((key) => key + codesName)
  const first = names.flatMap((name): [string, Tensor][] => {
    const tensor = tensors.get(name)
    return tensor ? [[name, tensor]] : []
  })
  return new Map([...first, ...tensors])
}

const removeEnding = (name: string, ending: string): string | undefined =>
  name.endsWith(ending) ? name.slice(0, -ending.length) : undefined

/** The tensor, or the problem of its blocks. */
function readBlocks(
  name: BlockCodeName,
  { dtype, shape, data }: Tensor,
  scale: Tensor | undefined,
  given: readonly number[] | undefined,
): PackedTensor | string {
  const code = blockCodes[name]
  const own = code.codesPerByte === 1 ? shape : given
  if (!own) return 'the header has no shape for it'
  const values = sizeOf(own)
  const expected = computeBlockSizes(code, values)
  if (dtype !== code.dtype || data.length !== expected.codeBytes)
    return `got ${data.length} codes of type ${dtype}, expected ${expected.codeBytes} of type ${code.dtype} for [${own.join(', ')}]`
  if (!scale) return 'has no scales'
  if (scale.dtype !== 'bf16' || scale.data.length !== expected.scales)
    return `got ${scale.data.length} scales of type ${scale.dtype}, expected ${expected.scales} of type bf16`
  const scales = scale.data as Uint16Array
  const bad = listBadScales(scales)
  if (bad.length > 0) return `the scale of block ${bad.slice(0, 8).join(', ')} is NaN or infinite`
  const codes = data as Uint8Array | Int8Array
  return createBlockTensor(name === 'int8' ? 8 : 4, own, { codes, scales })
}

/** Shapes by key; undefined if the codes have the tensors' shapes. */
function readHeader(
  text: string | undefined,
  dtype: BlockCodeName,
  fileName: string,
): ReadonlyMap<string, readonly number[]> | undefined {
  if (text === undefined)
    throw new FormatError(
      `${fileName}: its header does not give the layout of its ${dtype} blocks (${headerKey}).`,
    )
  const header = parseJson(text)
  if (!isRecord(header))
    throw new FormatError(`${fileName}: ${headerKey} in its header is not a JSON object.`)
  const got = { version: header['version'], dtype: header['dtype'], blockSize: header['blockSize'] }
  const expected = { version, dtype, blockSize: blockValues }
  if (JSON.stringify(got) !== JSON.stringify(expected))
    throw new UnsupportedError(
      `${fileName}: its blocks are ${JSON.stringify(got)}; expected ${JSON.stringify(expected)}.`,
    )
  if (blockCodes[dtype].codesPerByte === 1) return undefined
  const { shapes } = header
  const isShape = (value: unknown): value is number[] =>
    Array.isArray(value) &&
    value.every((item) => Number.isSafeInteger(item) && item >= 0) &&
    Number.isSafeInteger(sizeOf(value as number[]))
  if (!isRecord(shapes) || !Object.values(shapes).every(isShape))
    throw new FormatError(
      `${fileName}: ${headerKey} in its header must give every tensor's shape as a list of integers.`,
    )
  return new Map(Object.entries(shapes as Record<string, number[]>))
}

function parseJson(text: string): unknown {
  try {
    return findJsonProblem(text, deepestHeader) === undefined ? JSON.parse(text) : undefined
  } catch {
    return undefined
  }
}
