// How the tensors of a gated delta net change when they are put into a GGUF (llama.cpp's conversion
// of Qwen 3.5): value heads of one key head are apart, A is stored as −exp(A), convolutions lose
// their middle length 1. Rows and columns move as bytes where whole blocks do.

import { countBytes, isBlockType } from '../../base/dtype.ts'
import { FormatError } from '../../base/errors.ts'
import { f32, fromBytes, sizeOf, type Tensor, viewBytes } from '../../base/tensor.ts'
import { toFloat32 } from '../convert.ts'
import type { GgufFile, GgufTensorInfo } from './types.ts'

/** A tensor's form in a checkpoint, and how it changes when read and written. */
export interface TensorChange {
  readonly dtype?: Tensor['dtype']
  readonly shape?: readonly number[]
  readonly restore: (tensor: Tensor) => Tensor
  readonly arrange: (tensor: Tensor) => Tensor
}

interface DeltaHeads {
  readonly keyHeads: number
  readonly heads: number
  readonly keyWidth: number
  readonly valueWidth: number
}

function readHeads({ name, metadata }: GgufFile): DeltaHeads {
  const prefix = String(metadata.get('general.architecture'))
  const need = (key: string): number => {
    const value = metadata.get(`${prefix}.ssm.${key}`)
    if (typeof value === 'number' && Number.isSafeInteger(value) && value > 0) return value
    throw new FormatError(`${name}: the metadata has no size "${prefix}.ssm.${key}".`)
  }
  const heads = need('time_step_rank')
  return {
    keyHeads: need('group_count'),
    heads,
    keyWidth: need('state_size'),
    valueWidth: need('inner_size') / heads,
  }
}

/**
 * The value head of the file at each place of a checkpoint: head j of key head k is number k·r + j
 * in a checkpoint, and j·K + k in a file.
 */
const listHeadOrder = ({ keyHeads, heads }: DeltaHeads): number[] =>
  Array.from(
    { length: heads },
    (_, head) => (head % (heads / keyHeads)) * keyHeads + Math.floor(head / (heads / keyHeads)),
  )

const invert = (order: readonly number[]): number[] => order.map((_, place) => order.indexOf(place))

/** Row r of the result is row order[r]; the rows before `start` stay. */
function moveRows(tensor: Tensor, start: number, width: number, order: readonly number[]): Tensor {
  const bytes = viewBytes(tensor)
  const rowBytes = bytes.length / (tensor.shape[0] ?? 1)
  const moved = bytes.slice()
  order.forEach((from, to) => {
    const at = (start + from * width) * rowBytes
    moved.set(bytes.subarray(at, at + width * rowBytes), (start + to * width) * rowBytes)
  })
  return fromBytes(tensor.dtype, tensor.shape, moved)
}

/** The same for groups of `width` columns of a matrix. */
function moveColumns(tensor: Tensor, width: number, order: readonly number[]): Tensor {
  const [rows, columns] = tensor.shape as [number, number]
  const groups = columns / width
  const units = { ...tensor, shape: [rows * groups, width] }
  const places = Array.from({ length: rows * groups }, (_, unit) => {
    const row = Math.floor(unit / groups)
    return row * groups + order[unit % groups]!
  })
  return { ...moveRows(units, 0, 1, places), shape: tensor.shape }
}

const keepTensor = (tensor: Tensor): Tensor => tensor

const toFloats = (tensor: Tensor): Tensor => f32(tensor.shape, toFloat32(tensor))

const mapValues =
  (change: (value: number) => number) =>
  (tensor: Tensor): Tensor =>
    f32(tensor.shape, toFloat32(tensor).map(change))

/** Tensors whose rows belong to value heads: how many rows a head has, and how many come before. */
const describeRows = (
  part: string,
  { keyHeads, keyWidth, valueWidth }: DeltaHeads,
): { readonly start: number; readonly width: number } | undefined => {
  const keys = 2 * keyHeads * keyWidth
  if (part === 'attn_qkv' || part === 'ssm_conv1d') return { start: keys, width: valueWidth }
  if (part === 'attn_gate') return { start: 0, width: valueWidth }
  if (['ssm_alpha', 'ssm_beta', 'ssm_a', 'ssm_dt'].includes(part)) return { start: 0, width: 1 }
  return undefined
}

/** The change of a tensor by its ggml name within a layer; undefined if it does not change. */
export function findDeltaChange(
  file: GgufFile,
  part: string,
  { type, shape }: GgufTensorInfo,
): TensorChange | undefined {
  if (!/^(attn_qkv|attn_gate|ssm_\w+)$/.test(part) || part === 'ssm_norm') return undefined
  const heads = readHeads(file)
  const order = listHeadOrder(heads)
  if (part === 'ssm_out') {
    const movable = heads.keyHeads === heads.heads || canMoveColumns(type, heads.valueWidth)
    const whole = movable ? keepTensor : toFloats
    return {
      ...(movable ? {} : { dtype: 'f32' as const }),
      restore: (tensor) => moveColumns(whole(tensor), heads.valueWidth, order),
      arrange: (tensor) => moveColumns(whole(tensor), heads.valueWidth, invert(order)),
    }
  }
  const rows = describeRows(part, heads)
  if (!rows) return undefined
  const { start, width } = rows
  const restore = (tensor: Tensor): Tensor => moveRows(tensor, start, width, order)
  const arrange = (tensor: Tensor): Tensor => moveRows(tensor, start, width, invert(order))
  if (part === 'ssm_a')
    return {
      dtype: 'f32',
      restore: (tensor) => restore(mapValues((value) => Math.log(-value))(tensor)),
      arrange: (tensor) => mapValues((value) => -Math.exp(value))(arrange(tensor)),
    }
  if (part !== 'ssm_conv1d' || shape.length !== 2) return { restore, arrange }
  const middle = [shape[0]!, 1, shape[1]!]
  return {
    shape: middle,
    restore: (tensor) => ({ ...restore(tensor), shape: middle }),
    arrange: (tensor) => arrange({ ...tensor, shape }),
  }
}

const canMoveColumns = (type: Tensor['dtype'], width: number): boolean =>
  !isBlockType(type) || Number.isInteger(countBytes(type, width))

/** Bytes of a changed tensor. */
export const countChangedBytes = (
  { dtype }: TensorChange,
  { shape, sizeBytes }: GgufTensorInfo,
): number => (dtype === undefined ? sizeBytes : countBytes(dtype, sizeOf(shape)))
