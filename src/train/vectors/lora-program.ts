// Loss and gradients of LoRA on a standalone model, derived by hand: its layers are parallel, so
// all low-rank branches are products with one stack.
//
//     H = X·Aᵀ   Y = X + H·B   E = Y − T   G = 2/D · weights ⊙ E        A: [R, D]   B: [R, D], scaled   R the sum of all ranks
//     ∂B = Hᵀ·G   ∂A = (G·Bᵀ)ᵀ·X
//
// Products in single precision. Independent of optimisers and data.

import { toDropoutName, toPeftKey } from '../../adapters/keys.ts'
import type { LoraConfig } from '../../adapters/kinds/lora-config.ts'
import { lora, loraParts, resolveRankAndScale } from '../../adapters/kinds/lora.ts'
import type { StandaloneModel } from '../../adapters/vectors/model.ts'
import { createMatrix, sliceRows, transpose, type Matrix } from '../../base/linalg/matrix.ts'
import { multiply } from '../../base/linalg/matmul.ts'
import { getFastKernels } from '../../base/linalg/simd.ts'
import { f32, type F32Tensor, type Tensor } from '../../base/tensor.ts'
import { listModules } from '../../graph/model-graph.ts'
import { drawDropoutMasks } from './masks.ts'
import type { StandaloneProgram } from './program.ts'
import type { VectorBatch } from './vector-batch.ts'

/** One layer's place in the stack. */
interface LoraBranch {
  readonly a: string
  readonly b: string
  readonly mask: string
  readonly first: number
  readonly rank: number
  readonly scale: number
}

function listBranches({ graph }: StandaloneModel, config: LoraConfig): LoraBranch[] {
  const { prefix } = graph.blocks[0]!
  let first = 0
  return listModules(graph).flatMap((module) => {
    if (lora.parameters(config, module).length === 0) return []
    const { rank, scale } = resolveRankAndScale(config, module)
    const keys = {
      a: toPeftKey(`${module.path}.${loraParts.a}`),
      b: toPeftKey(`${module.path}.${loraParts.b}`),
    }
    const detour = {
      ...keys,
      mask: prefix + toDropoutName(module.path.slice(prefix.length)),
      first,
      rank,
      scale,
    }
    first += rank
    return [detour]
  })
}

/** to[r, i] = factor · from[i, r], or back: from [rows, columns] to [columns, rows]. */
function transposeInto(
  to: Float32Array,
  from: Float32Array,
  rows: number,
  columns: number,
  factor: number,
): void {
  for (let row = 0; row < rows; row++)
    for (let column = 0; column < columns; column++)
      to[column * rows + row] = factor * from[row * columns + column]!
}

/** Replaces y by G in place, and returns the loss. */
function computeOutputGradient(
  y: Float32Array,
  { rows, width, targets, weights }: VectorBatch,
): number {
  let loss = 0
  for (let n = 0; n < rows; n++) {
    const weight = weights[n]! / width
    let sum = 0
    for (let i = n * width, end = i + width; i < end; i++) {
      const error = y[i]! - targets[i]!
      sum += error * error
      y[i] = 2 * weight * error
    }
    loss += weight * sum
  }
  return loss
}

/** The stack's rows of one layer or of all layers, with their input. */
interface StackSlice {
  readonly first: number
  readonly rank: number
  readonly x: Matrix<Float32Array> // [N, D]
}

/** All low-rank branches of one adapter; A and B are filled again for every batch. */
interface BranchStack {
  readonly width: number // D
  readonly detours: readonly LoraBranch[]
  readonly A: Matrix<Float32Array> // [R, D]
  readonly B: Matrix<Float32Array> // [R, D]
}

const createZeros = (rows: number, columns: number): Matrix<Float32Array> =>
  createMatrix(rows, columns, new Float32Array(rows * columns))

function fillStack(
  { detours, width, A, B }: BranchStack,
  parameters: ReadonlyMap<string, Tensor>,
): void {
  for (const { a, b, first, rank, scale } of detours) {
    A.data.set(parameters.get(a)!.data as Float32Array, first * width)
    const part = B.data.subarray(first * width, (first + rank) * width)
    transposeInto(part, parameters.get(b)!.data as Float32Array, width, rank, scale)
  }
}

/** Without dropout, all layers see the same rows and are one lane. */
function sliceStack(
  { detours, width, A }: BranchStack,
  { rows, inputs }: VectorBatch,
  masks: ReadonlyMap<string, Tensor>,
): StackSlice[] {
  if (masks.size === 0) return [{ first: 0, rank: A.rows, x: createMatrix(rows, width, inputs) }]
  return detours.map(({ mask, first, rank }) => {
    const keep = masks.get(mask)!.data as Float32Array
    const x = inputs.map((value, i) => value * keep[i]!)
    return { first, rank, x: createMatrix(rows, width, x) }
  })
}

/** Y in its own array, and each lane's H. */
function runForward(
  { width, A, B }: BranchStack,
  { rows, inputs }: VectorBatch,
  lanes: readonly StackSlice[],
): { y: Matrix<Float32Array>; lows: Matrix<Float32Array>[] } {
  const { f32: kernel } = getFastKernels()
  const y = createMatrix(rows, width, inputs.slice())
  const lows = lanes.map(({ first, rank, x }) => {
    const low = createZeros(rows, rank) // [N, R]
    multiply(low, x, transpose(sliceRows(A, first, rank)), { kernel })
    multiply(y, low, sliceRows(B, first, rank), { kernel, add: true })
    return low
  })
  return { y, lows }
}

function runBackward(
  { width, detours, A, B }: BranchStack,
  error: Matrix<Float32Array>,
  lanes: readonly StackSlice[],
  lows: readonly Matrix<Float32Array>[],
): Map<string, F32Tensor> {
  const { f32: kernel } = getFastKernels()
  const toA = createZeros(A.rows, width)
  const toB = createZeros(A.rows, width)
  lanes.forEach(({ first, rank, x }, lane) => {
    const back = createZeros(error.rows, rank) // [N, R]
    multiply(back, error, transpose(sliceRows(B, first, rank)), { kernel })
    multiply(sliceRows(toA, first, rank), transpose(back), x, { kernel })
    multiply(sliceRows(toB, first, rank), transpose(lows[lane]!), error, { kernel })
  })
  const gradients = new Map<string, F32Tensor>()
  for (const { a, b, first, rank, scale } of detours) {
    const part = ({ data }: Matrix<Float32Array>): Float32Array =>
      data.subarray(first * width, (first + rank) * width)
    const ofB = new Float32Array(width * rank)
    transposeInto(ofB, part(toB), rank, width, scale)
    gradients.set(a, f32([rank, width], part(toA)))
    gradients.set(b, f32([width, rank], ofB))
  }
  return gradients
}

export function createLoraProgram(model: StandaloneModel, config: LoraConfig): StandaloneProgram {
  const { width, graph } = model
  const detours = listBranches(model, config)
  const rank = detours.reduce((sum, detour) => sum + detour.rank, 0)
  const stack = { width, detours, A: createZeros(rank, width), B: createZeros(rank, width) }
  return {
    async gradients(batch, parameters, { dropoutSeed = 0 } = {}) {
      fillStack(stack, parameters)
      const lanes = sliceStack(
        stack,
        batch,
        drawDropoutMasks(graph.blocks, config, batch, dropoutSeed),
      )
      const { y, lows } = runForward(stack, batch, lanes)
      const loss = computeOutputGradient(y.data, batch)
      return { loss, gradients: runBackward(stack, y, lanes, lows) }
    },
    async loss(batch, parameters) {
      fillStack(stack, parameters)
      return computeOutputGradient(
        runForward(stack, batch, sliceStack(stack, batch, new Map())).y.data,
        batch,
      )
    },
    dispose: async () => {},
  }
}
