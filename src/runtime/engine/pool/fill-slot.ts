// Writes an expert's serving weights directly into a slot. Independent of the owners of slots.

import { unpackInto } from '../../../adapters/packed/fill.ts'
import { isPackedTensor, type PackedTensor } from '../../../adapters/packed/packed-tensor.ts'
import type { F32Tensor, Tensor } from '../../../base/tensor.ts'
import type { SlotModule } from './slot-layout.ts'

/** weight·B·A of one adapter at one module, with its vectors. */
export interface ModuleSource {
  readonly A: Tensor | PackedTensor
  readonly B: Tensor | PackedTensor
  readonly weight: number
  readonly u?: F32Tensor
  readonly v?: F32Tensor
  readonly shift?: F32Tensor
}

/** Whether its numbers can be copied as they are. */
export const isPlainTensor = (tensor: Tensor | PackedTensor): tensor is F32Tensor =>
  !isPackedTensor(tensor) && tensor.dtype === 'f32'

/**
 * What slots are filled from, by module path: the sum of the list. A missing module is unchanged.
 */
export type SlotSource = ReadonlyMap<string, readonly ModuleSource[]>

/** A module's two matrices, from its place in the arrays on. */
export interface SlotPlace {
  readonly A: Float32Array
  readonly B: Float32Array
  /** Where the slot begins in A and in B. */
  readonly startA: number
  readonly startB: number
}

/**
 * Fills one module of a slot of rank class `rank`. `held` has, for each part, how many rows of A
 * and columns of B may be nonzero; the others are already zero. It is updated.
 */
export function fillModule(
  { inFeatures, parts }: SlotModule,
  rank: number,
  source: SlotSource,
  { A, B, startA, startB }: SlotPlace,
  held: Float32Array,
): void {
  let row = 0
  for (const [p, { path, outFeatures }] of parts.entries()) {
    let used = 0
    const atA = startA + p * rank * inFeatures
    const atB = startB + row * rank
    for (const one of source.get(path) ?? []) {
      const at = atA + used * inFeatures
      if (isPlainTensor(one.A)) A.set(one.A.data, at)
      else unpackInto({ values: A, offset: at }, one.A)
      placeColumns(B, atB + used, rank, one)
      scaleByVectors({ A, B, startA: at, startB: atB + used }, rank, one)
      used += one.A.shape[0]!
    }
    if (used < held[p]!) {
      A.fill(0, atA + used * inFeatures, atA + held[p]! * inFeatures)
      clearColumns(B, atB + used, rank, held[p]! - used, outFeatures)
    }
    held[p] = used
    row += outFeatures
  }
}

/** weight·B [out, R] into columns of wider rows. */
function placeColumns(
  target: Float32Array,
  start: number,
  stride: number,
  { B, weight }: ModuleSource,
): void {
  const [rows, rank] = B.shape as [number, number]
  if (rank === 0) return
  if (!isPlainTensor(B))
    return unpackInto({ values: target, offset: start, rowStride: stride }, B, weight)
  const { data } = B
  if (weight !== 1) scaleRows(target, start, stride, data, rank, weight)
  else if (rank === stride) target.set(data, start)
  else if ((rank | stride | start) % 2 === 0 && (data.byteOffset | target.byteOffset) % 8 === 0)
    // Two f32 as one f64: half the copies. Exact, since numbers that are finite as f32 are as f64.
    copyPairs(toPairs(target), start / 2, stride / 2, toPairs(data), rank / 2)
  else copyRows(target, start, stride, data, rank, rows)
}

/** A·diag(u) and diag(v)·B: programs apply low-rank parts to x itself, outside of the factors. */
function scaleByVectors(
  { A, B, startA, startB }: SlotPlace,
  stride: number,
  { A: own, u, v }: ModuleSource,
): void {
  const [rank, width] = own.shape as [number, number]
  if (u)
    for (let r = 0, at = startA; r < rank; r++)
      for (let i = 0; i < width; i++, at++) A[at]! *= u.data[i]!
  if (v)
    for (let row = 0; row < v.data.length; row++)
      for (let c = 0, at = startB + row * stride; c < rank; c++, at++) B[at]! *= v.data[row]!
}

const toPairs = ({ buffer, byteOffset, length }: Float32Array): Float64Array =>
  new Float64Array(buffer, byteOffset, length >> 1)

function copyPairs(
  target: Float64Array,
  start: number,
  stride: number,
  source: Float64Array,
  width: number,
): void {
  const blocks = width - (width % 4)
  let row = start
  for (let at = 0; at < source.length; row += stride) {
    let to = row
    for (const end = at + blocks; at < end; at += 4, to += 4) {
      target[to] = source[at]!
      target[to + 1] = source[at + 1]!
      target[to + 2] = source[at + 2]!
      target[to + 3] = source[at + 3]!
    }
    for (const end = row + width; to < end; at++, to++) target[to] = source[at]!
  }
}

function copyRows(
  target: Float32Array,
  start: number,
  stride: number,
  source: Float32Array,
  width: number,
  rows: number,
): void {
  for (let row = 0, at = 0; row < rows; row++)
    for (let c = 0; c < width; c++, at++) target[start + row * stride + c] = source[at]!
}

function scaleRows(
  target: Float32Array,
  start: number,
  stride: number,
  source: Float32Array,
  width: number,
  weight: number,
): void {
  for (let row = start, at = 0; at < source.length; row += stride)
    for (let c = 0; c < width; c++, at++) target[row + c] = weight * source[at]!
}

function clearColumns(
  target: Float32Array,
  start: number,
  stride: number,
  width: number,
  rows: number,
): void {
  for (let row = 0; row < rows; row++)
    target.fill(0, start + row * stride, start + row * stride + width)
}
