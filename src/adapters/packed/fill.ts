// Unpacks a tensor into existing memory, such as the A and B of a resident slot, or into a new
// array. Independent of adapters.

import { ShapeError } from '../../base/errors.ts'
import { checkOptions, naturalNumber, number, unchecked } from '../../base/schema.ts'
import { f32, type F32Tensor, sizeOf, type Tensor } from '../../base/tensor.ts'
import { toFloat32 } from '../../formats/convert.ts'
import { isPackedTensor, type PackedTensor } from './packed-tensor.ts'
import { getTileHost, partValues, tileAt, type TileHost, toTileSource, unpackTile } from './tile.ts'

/**
 * Where a matrix is written: value (row, column) to values[offset + row·rowStride +
 * column·columnStride].
 */
export interface FillTarget {
  readonly values: Float32Array
  /** Default: 0. */
  readonly offset?: number | undefined
  /** Default: the tensor's number of columns, so rows without gaps. */
  readonly rowStride?: number | undefined
  /** Default 1; with rowStride 1 and columnStride = rows the matrix is transposed. */
  readonly columnStride?: number | undefined
}

const targetFields = {
  values: unchecked('a Float32Array'),
  offset: naturalNumber,
  rowStride: naturalNumber,
  columnStride: naturalNumber,
}
const scalingField = { scaling: number() }

/** A target with all defaults, and the matrix to write. */
interface Placement {
  readonly values: Float32Array
  readonly offset: number
  readonly rowStride: number
  readonly columnStride: number
  readonly rows: number
  readonly columns: number
}

function resolvePlacement(target: Float32Array | FillTarget, shape: readonly number[]): Placement {
  const given = target instanceof Float32Array ? { values: target } : target
  checkOptions('Target of unpackInto', given, targetFields)
  const columns = shape.at(-1) ?? 1
  const rows = columns === 0 ? 0 : sizeOf(shape) / columns
  const { values, offset = 0, rowStride = columns, columnStride = 1 } = given
  const last = offset + (rows - 1) * rowStride + (columns - 1) * columnStride
  if (rows > 0 && last >= values.length)
    throw new ShapeError(
      `unpackInto: got ${values.length} values in the target, expected at least ${last + 1} for [${shape.join(', ')}] from ${offset} on, with rows ${rowStride} and columns ${columnStride} apart.`,
    )
  return { values, offset, rowStride, columnStride, rows, columns }
}

/**
 * Writes scaling · tensor into a target, without another f32 array; values between the rows are not
 * changed. Every value is the unpacked one times `scaling` in f32, rounded once. The tensor may be
 * packed or of any element type; its last dimension counts the columns. Throws OptionError for
 * wrong strides and ShapeError for a target that is too short; nothing is written then.
 */
export function unpackInto(
  target: Float32Array | FillTarget,
  tensor: Tensor | PackedTensor,
  scaling = 1,
  host: TileHost = getTileHost(),
): void {
  checkOptions('unpackInto', { scaling }, scalingField)
  const placement = resolvePlacement(target, tensor.shape)
  if (scaling === 1 && !isPackedTensor(tensor) && tensor.dtype === 'f32')
    return placeValues(placement, toFloat32(tensor), 0)
  const source = toTileSource(tensor)
  for (let from = 0; from < source.values; from += partValues) {
    const to = Math.min(source.values, from + partValues)
    unpackTile(host, source, from, to, tileAt, scaling)
    const { floats } = host.reserve(0)
    placeValues(placement, floats.subarray(tileAt >> 2, (tileAt >> 2) + to - from), from)
  }
}

const shortRow = 32 // shorter ones are copied value by value, which is faster than a call for each

/** Values `from` and on of the matrix, row after row. */
function placeValues(placement: Placement, part: Float32Array, from: number): void {
  const { values, offset, rowStride, columnStride, columns } = placement
  if (columnStride === 1 && rowStride === columns) {
    values.set(part, offset + from)
    return
  }
  let row = Math.floor(from / columns)
  let column = from - row * columns
  for (let at = 0; at < part.length; row++, column = 0) {
    const end = Math.min(part.length, at + columns - column)
    let to = offset + row * rowStride + column * columnStride
    if (columnStride === 1 && columns >= shortRow) values.set(part.subarray(at, end), to)
    else for (let i = at; i < end; i++, to += columnStride) values[to] = part[i]!
    at = end
  }
}

/** The tensor's values as a new f32 tensor. */
export function unpackTensor(tensor: Tensor | PackedTensor): F32Tensor {
  const unpacked = f32(tensor.shape)
  unpackInto(unpacked.data, tensor)
  return unpacked
}
