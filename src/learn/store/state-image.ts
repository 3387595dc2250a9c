// The tensors of a state as one array of bytes, and back; checkpoints cut it into blocks. A form
// decides how f32 matrices are stored.
//
//     f32, f16: the values      int8, int4: codes, then one bf16 scale for every 64 values (formats/block-code.ts)
//
// Every part begins at a multiple of 8 bytes, and tensors are in the order of their names, so that
// unchanged tensors keep their offsets.

import {
  blockLayout,
  countBytes,
  type DType,
  elementBytes,
  type PlainType,
} from '../../base/dtype.ts'
import { FormatError } from '../../base/errors.ts'
import { viewBytes, f32, fromBytes, sizeOf, type Tensor } from '../../base/tensor.ts'
import {
  listBadScales,
  type BlockCodeName,
  blockCodes,
  computeBlockSizes,
  decodeBlocks,
  encodeBlocks,
} from '../../formats/block-code.ts'
import { fromFloat32, toFloat32 } from '../../formats/convert.ts'
import { joinProblems, quoteName, computeSafeProduct } from '../../formats/quote.ts'
import { checkState, type UserState } from './user-state.ts'

export const stateForms = ['f32', 'f16', 'int8', 'int4'] as const
export type StateForm = (typeof stateForms)[number]

/** A tensor's position in the image. `stored`: its own type, or the form of its values. */
export interface TensorEntry {
  readonly name: string
  readonly shape: readonly number[]
  readonly stored: DType | BlockCodeName
  readonly offset: number
}

export interface StateImage {
  readonly bytes: Uint8Array
  readonly places: readonly TensorEntry[]
}

// Fewer values do not fill a block, and small vectors (biases, magnitudes) need their precision.
const minBlockValues = 64
const alignOffset = (offset: number): number => Math.ceil(offset / 8) * 8
const isBlockCode = (stored: string): stored is BlockCodeName => Object.hasOwn(blockCodes, stored)

/**
 * A copy of the state's tensors. f32 matrices take the form; `exact` ones, vectors, other types, and
 * values that f16 cannot hold (beyond 65504) keep theirs. Throws NumericError for NaN and OptionError
 * for a header that is not JSON, as `checkState` does.
 */
export function encodeState(state: UserState, form: StateForm): StateImage {
  checkState(state)
  const exact = new Set(state.exact)
  const parts: { place: TensorEntry; pieces: readonly Uint8Array[] }[] = []
  let offset = 0
  for (const name of [...state.tensors.keys()].sort()) {
    const tensor = state.tensors.get(name)!
    const keeps =
      tensor.dtype !== 'f32' ||
      tensor.shape.length < 2 ||
      tensor.data.length < minBlockValues ||
      exact.has(name)
    const { stored, pieces } = keeps
      ? { stored: tensor.dtype, pieces: [viewBytes(tensor)] }
      : encodeTensor(tensor, form)
    parts.push({ place: { name, shape: [...tensor.shape], stored, offset }, pieces })
    for (const piece of pieces) offset += alignOffset(piece.length)
  }
  const bytes = new Uint8Array(offset)
  for (const { place, pieces } of parts) {
    let at = place.offset
    for (const piece of pieces) {
      bytes.set(piece, at)
      at += alignOffset(piece.length)
    }
  }
  return { bytes, places: parts.map(({ place }) => place) }
}

function encodeTensor(
  tensor: Tensor,
  form: StateForm,
): { stored: TensorEntry['stored']; pieces: Uint8Array[] } {
  const values = tensor.data as Float32Array
  if (isBlockCode(form)) {
    const { codes, scales } = encodeBlocks(blockCodes[form], values)
    return {
      stored: form,
      pieces: [codes, scales].map(
        (data) => new Uint8Array(data.buffer, data.byteOffset, data.byteLength),
      ),
    }
  }
  if (form === 'f16') {
    const bits = fromFloat32(values, 'f16') as Uint16Array
    if (!bits.some((value) => (value & 0x7fff) === 0x7c00))
      return { stored: form, pieces: [new Uint8Array(bits.buffer)] }
  }
  return { stored: 'f32', pieces: [viewBytes(tensor)] }
}

/** Lengths of an entry's parts; undefined for an impossible shape. */
function computePartBytes({ stored, shape }: TensorEntry): number[] | undefined {
  const values = computeSafeProduct(shape)
  if (values === undefined) return undefined
  if (!isBlockCode(stored)) return [countBytes(stored, values)]
  const { codeBytes, scales } = computeBlockSizes(blockCodes[stored], values)
  return [codeBytes, 2 * scales]
}

/**
 * The tensors of an image as copies; forms become f32 again. Throws FormatError with every entry that
 * does not fit the bytes.
 */
export function decodeTensors(
  { bytes, places }: StateImage,
  fileName: string,
): Map<string, Tensor> {
  const tensors = new Map<string, Tensor>()
  const problems: string[] = []
  for (const place of places) {
    const tensor = readTensor(bytes, place)
    if (typeof tensor === 'string') problems.push(`${quoteName(place.name)}: ${tensor}`)
    else if (tensors.has(place.name)) problems.push(`${quoteName(place.name)}: occurs twice`)
    else tensors.set(place.name, tensor)
  }
  if (problems.length > 0)
    throw new FormatError(`${fileName}: its tensor entries are invalid:\n${joinProblems(problems)}`)
  return tensors
}

/** The tensor, or what is wrong with it. */
function readTensor(bytes: Uint8Array, place: TensorEntry): Tensor | string {
  const { stored, shape, offset } = place
  if (
    !isBlockCode(stored) &&
    !Object.hasOwn(blockLayout, stored) &&
    !Object.hasOwn(elementBytes, stored)
  )
    return `type ${quoteName(stored)} is unknown`
  const lengths = computePartBytes(place)
  if (
    !lengths ||
    offset % 8 !== 0 ||
    offset + lengths.reduce((sum, length) => sum + alignOffset(length), 0) > bytes.length
  )
    return `${stored} [${shape.join(', ')}] at byte ${offset} does not fit ${bytes.length} bytes`
  if (!isBlockCode(stored)) {
    const tensor = fromBytes(stored, shape, bytes.slice(offset, offset + lengths[0]!))
    return stored === 'f16' ? f32(shape, toFloat32(tensor)) : tensor
  }
  const code = blockCodes[stored]
  const [codeBytes, scaleBytes] = lengths as [number, number]
  const codes = fromBytes(
    code.dtype satisfies PlainType,
    [codeBytes],
    bytes.slice(offset, offset + codeBytes),
  ).data as Int8Array | Uint8Array
  const from = offset + alignOffset(codeBytes)
  const scales = new Uint16Array(bytes.slice(from, from + scaleBytes).buffer)
  if (listBadScales(scales).length > 0) return 'a scale is NaN or infinite'
  return f32(shape, decodeBlocks(code, { codes, scales }, sizeOf(shape)))
}
