// The arithmetic of a head tier on MicroLoRA's kernels: h′ = h + B·(A·h), its gradients and Adam's
// step. All tiers of a shape share one memory, into which a tier's numbers are copied for a call,
// so that any number of users can be kept outside it. Independent of: users, options.

import { random } from '../../base/random.ts'
import { getKernelContext } from '../../micro/kernels/context.ts'
import { accumulateGradient } from '../../micro/module/accumulate.ts'
import { addLowRank } from '../../micro/module/forward.ts'
import type { SlotName } from '../../micro/module/layout.ts'
import { ModuleMemory } from '../../micro/module/memory.ts'
import { computeDirection } from '../../micro/module/step.ts'
import {
  computeOutputMove,
  loadInput,
  measureOutputMove,
  type OutputMove,
} from '../../micro/module/trust-region.ts'
import { completeOptions } from '../../micro/options.ts'

/** One module's matrices, row by row: A [R, in], B [out, R]. */
export interface LowRankPair {
  readonly A: Float32Array
  readonly B: Float32Array
}

/** What a tier learns and Adam's averages; in = out = D. */
export interface HeadState {
  readonly weights: LowRankPair
  readonly means: LowRankPair
  readonly squares: LowRankPair
}

const slotNames = {
  weights: 'weights',
  means: 'momentum',
  squares: 'secondMomentum',
} as const satisfies Record<keyof HeadState, SlotName>

const parts = Object.keys(slotNames) as (keyof HeadState)[]

export function createHeadState(width: number, rank: number): HeadState {
  const pair = (): LowRankPair => ({
    A: new Float32Array(rank * width),
    B: new Float32Array(rank * width),
  })
  return { weights: pair(), means: pair(), squares: pair() }
}

/** A as LoRA starts it, everything else zero. */
export function initializeHeadState(state: HeadState, width: number, seed: number): void {
  const { uniform } = random(seed)
  const bound = 1 / Math.sqrt(width)
  for (const part of parts) {
    state[part].A.fill(0)
    state[part].B.fill(0)
  }
  const { A } = state.weights
  for (let i = 0; i < A.length; i++) A[i] = (2 * uniform() - 1) * bound
}

const shared = new Map<string, ModuleMemory>()

/** The memory that all tiers of this shape and momentum share. */
export function getHeadMemory(width: number, rank: number, momentum: number): ModuleMemory {
  const key = `${width} ${rank} ${momentum}`
  const found = shared.get(key)
  if (found) return found
  const config = completeOptions({
    inFeatures: width,
    outFeatures: width,
    rank,
    alpha: rank,
    optimizer: 'adam',
    momentum,
    clip: Infinity,
  })
  const memory = new ModuleMemory('default', config, getKernelContext())
  shared.set(key, memory)
  return memory
}

/** Copies A, and B transposed, into a slot. */
function loadPair({ context, layout }: ModuleMemory, place: number, { A, B }: LowRankPair): void {
  const array = context.heap.array()
  const { rank, inFeatures: width, inStride: stride } = layout
  for (let r = 0; r < rank; r++) {
    array.set(A.subarray(r * width, (r + 1) * width), place + r * stride)
    const row = place + (rank + r) * stride
    for (let i = 0; i < width; i++) array[row + i] = B[i * rank + r]!
  }
}

/** The other way round. */
function storePair({ context, layout }: ModuleMemory, place: number, { A, B }: LowRankPair): void {
  const array = context.heap.array()
  const { rank, inFeatures: width, inStride: stride } = layout
  for (let r = 0; r < rank; r++) {
    const from = place + r * stride
    A.set(array.subarray(from, from + width), r * width)
    const row = place + (rank + r) * stride
    for (let i = 0; i < width; i++) B[i * rank + r] = array[row + i]!
  }
}

/** result += hidden·Aᵀ·Bᵀ, by rows. */
export function addHeadUpdate(
  memory: ModuleMemory,
  weights: LowRankPair,
  hidden: Float32Array,
  result: Float32Array,
): void {
  const { inFeatures: width, inStride, outStride } = memory.layout
  const { x, y } = memory.context.scratch
  loadPair(memory, memory.a, weights)
  for (let at = 0; at < hidden.length; at += width) {
    memory.put(hidden.subarray(at, at + width), x, inStride)
    memory.put(result.subarray(at, at + width), y, outStride)
    addLowRank(memory)
    result.set(memory.output, at)
  }
}

/** result += gradient·B·A, by rows: ∂loss/∂h through the update. */
export function addPulledBack(
  memory: ModuleMemory,
  weights: LowRankPair,
  gradient: Float32Array,
  result: Float32Array,
): void {
  const { a, b, context, layout, scale } = memory
  const { rank, inFeatures: width, inStride, outStride } = layout
  const { x, y, u } = context.scratch
  loadPair(memory, memory.a, weights)
  for (let at = 0; at < gradient.length; at += width) {
    memory.put(gradient.subarray(at, at + width), x, outStride)
    memory.put(result.subarray(at, at + width), y, inStride)
    context.kernels.forward(rank, b, a, x, u, y, outStride, inStride, scale)
    result.set(memory.output, at)
  }
}

/** Sums the gradients of all rows in the memory. Throws NumericError. */
function accumulateRows(memory: ModuleMemory, hidden: Float32Array, gradient: Float32Array): void {
  const { inFeatures: width, slotSize } = memory.layout
  memory.context.kernels.clear(memory.gradientOfA, slotSize)
  for (let at = 0; at < hidden.length; at += width)
    accumulateGradient(memory, hidden.subarray(at, at + width), gradient.subarray(at, at + width))
}

/** ∂loss/∂A = Σ Bᵀ·g·hᵀ [R, D] and ∂loss/∂B = Σ g·(A·h)ᵀ [D, R]. Throws NumericError. */
export function computeHeadGradients(
  memory: ModuleMemory,
  weights: LowRankPair,
  hidden: Float32Array,
  gradient: Float32Array,
): LowRankPair {
  loadPair(memory, memory.a, weights)
  accumulateRows(memory, hidden, gradient)
  const result = { A: new Float32Array(weights.A.length), B: new Float32Array(weights.B.length) }
  storePair(memory, memory.gradientOfA, result)
  return result
}

export interface HeadStep {
  readonly hidden: Float32Array
  readonly gradient: Float32Array
  /** Which of the tier's steps this is, from 1 on. */
  readonly step: number
  readonly learningRate: number
  readonly decay: number
  /** No further on average than this share of the hidden states' lengths. */
  readonly maxRelativeStep: number
  /** Changes the direction in which A moves. */
  readonly project?: (directionOfA: Float32Array) => void
}

/**
 * One step of AdamW within the trust region; how far it moved the hidden states, as a share of
 * their lengths, on average. Throws NumericError; then the state is unchanged.
 */
export function stepHead(memory: ModuleMemory, state: HeadState, step: HeadStep): number {
  const { context, layout, gradientOfA: direction } = memory
  const { hidden, decay, learningRate, maxRelativeStep } = step
  for (const part of parts) loadPair(memory, memory.slot(slotNames[part]), state[part])
  accumulateRows(memory, hidden, step.gradient)
  computeDirection(memory, step.step, 1, 0)
  if (decay > 0) context.kernels.move(direction, memory.a, layout.slotSize, 1, -decay)
  if (step.project) projectDirection(memory, step.project)
  const measure = measureRelativeMove(memory, hidden)
  let part = 1
  let move = measure(learningRate)
  if (move > maxRelativeStep) {
    part = shortenStep((tried) => measure(tried * learningRate) <= maxRelativeStep)
    move = measure(part * learningRate)
  }
  context.kernels.move(memory.a, direction, layout.slotSize, 1, part * learningRate)
  for (const name of parts) storePair(memory, memory.slot(slotNames[name]), state[name])
  return move
}

function projectDirection(memory: ModuleMemory, project: (ofA: Float32Array) => void): void {
  const { context, layout, gradientOfA } = memory
  const { rank, inFeatures: width, inStride } = layout
  const array = context.heap.array()
  const ofA = new Float32Array(rank * width)
  for (let r = 0; r < rank; r++) {
    const from = gradientOfA + r * inStride
    ofA.set(array.subarray(from, from + width), r * width)
  }
  project(ofA)
  for (let r = 0; r < rank; r++)
    array.set(ofA.subarray(r * width, (r + 1) * width), gradientOfA + r * inStride)
}

/** Mean ‖Δh′‖ / ‖h‖ over the rows, as a function of the step's length. */
function measureRelativeMove(
  memory: ModuleMemory,
  hidden: Float32Array,
): (length: number) => number {
  const width = memory.layout.inFeatures
  const moves: { readonly move: OutputMove; readonly length: number }[] = []
  for (let at = 0; at < hidden.length; at += width) {
    const length = loadInput(memory, 'hidden state', hidden.subarray(at, at + width))
    if (length > 0) moves.push({ move: measureOutputMove(memory, memory.gradientOfA), length })
  }
  const rows = Math.max(1, hidden.length / width)
  return (k) =>
    moves.reduce((sum, { move, length }) => sum + computeOutputMove(move, k) / length, 0) / rows
}

const halvings = 10

/**
 * The longest part of a step that is allowed, from 1e-6 on. Far from the start the move grows with
 * the square of the step, so it is sought on a logarithmic scale.
 */
function shortenStep(isAllowed: (part: number) => boolean): number {
  let low = 1e-6
  let high = 1
  for (let tries = 0; tries < halvings; tries++) {
    const middle = Math.sqrt(low * high)
    if (isAllowed(middle)) low = middle
    else high = middle
  }
  return low
}
