// How far a step moves a module's output at an input, for every length of the step at once, and the
// longest step within a bound.

import { OptionError } from '../../base/errors.ts'
import type { ModuleMemory } from './memory.ts'

/**
 * How far one step may move the output at an input, as a share of that input's length; before decay
 * and EWC.
 */
export interface TrustRegion {
  readonly input: Float32Array
  readonly share: number
}

/** Puts the input into the scratch; how far its output may move. Throws OptionError, ShapeError. */
export function loadTrustRegion(memory: ModuleMemory, { input, share }: TrustRegion): number {
  memory.checkVector('trust.input', input, memory.layout.inFeatures)
  if (!(typeof share === 'number' && share > 0))
    throw new OptionError(`${memory.name}: trust.share: got ${share}, expected a number above 0.`)
  return share * loadInput(memory, 'trust.input', input)
}

/** Puts an input into the scratch; its length. Throws NumericError if that is not finite. */
export function loadInput(memory: ModuleMemory, what: string, input: Float32Array): number {
  const { kernels, scratch } = memory.context
  memory.put(input, scratch.x, memory.layout.inStride)
  const squared = kernels.squares(scratch.x, memory.layout.inStride)
  if (!(squared < Infinity)) memory.refuseNonFinite(what, input)
  return Math.sqrt(squared)
}

/** The coefficients of ‖Δy‖² = k²·(ofP − k·twiceBoth + k²·ofQ). */
export interface OutputMove {
  readonly ofP: number
  readonly twiceBoth: number
  readonly ofQ: number
}

/**
 * How far −k·d moves the output at the scratch's x, for every k: three passes through pairs of
 * matrices, because
 *
 *     Δy = −k·p + k²·q     p = s·(dB·A·x + B·dA·x) + d_bias     q = s·dB·dA·x
 *
 * `direction`: where d is, laid out as the weights.
 */
export function measureOutputMove(memory: ModuleMemory, direction: number): OutputMove {
  const { a: weights, context, layout, scale } = memory
  const { kernels, scratch } = context
  const { rank, inStride, outStride, parts } = layout
  const { x, y, t, u } = scratch
  const toB = parts[1]!.start
  const pass = (a: number, b: number, to: number): unknown =>
    kernels.forward(rank, a, b + toB, x, u, to, inStride, outStride, scale)
  if (parts[2]) kernels.copy(y, direction + parts[2].start, outStride)
  else kernels.clear(y, outStride)
  pass(weights, direction, y)
  pass(direction, weights, y)
  const ofP = kernels.squares(y, outStride)
  kernels.clear(t, outStride)
  pass(direction, direction, t)
  const ofQ = kernels.squares(t, outStride)
  kernels.subtract(y, t, outStride)
  return { ofP, twiceBoth: ofP + ofQ - kernels.squares(y, outStride), ofQ }
}

/** ‖Δy‖ */
export const computeOutputMove = ({ ofP, twiceBoth, ofQ }: OutputMove, k: number): number =>
  k * Math.sqrt(Math.max(0, ofP - k * twiceBoth + k * k * ofQ))

const halvings = 24 // of the part of a step that is kept: as fine as 32-bit weights

/** The part of k up to which −k·d moves the output at the scratch's x by no more than `within`. */
export function limitStep(
  memory: ModuleMemory,
  direction: number,
  k: number,
  within: number,
): number {
  const move = measureOutputMove(memory, direction)
  if (computeOutputMove(move, k) <= within) return k
  let low = 0
  let high = k
  for (let i = 0; i < halvings; i++) {
    const middle = (low + high) / 2
    if (computeOutputMove(move, middle) <= within) low = middle
    else high = middle // also where it is NaN
  }
  return low
}
