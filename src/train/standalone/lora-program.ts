// Loss and gradients of LoRA on a standalone model by hand: its layers stand side by side, so all detours are products with one stack.
//
//     H = X·Aᵀ   Y = X + H·B   E = Y − T   G = 2/D · weights ⊙ E        A: [R, D]   B: [R, D], scaled   R the sum of all ranks
//     ∂B = Hᵀ·G   ∂A = (G·Bᵀ)ᵀ·X
//
// Products in single precision. Knows no optimiser and no data.

import { peftKey } from '../../adapters/keys.ts'
import type { LoraConfig } from '../../adapters/lora-config.ts'
import { lora, loraParts, rankAndScale } from '../../adapters/lora.ts'
import type { StandaloneModel } from '../../adapters/standalone-model.ts'
import { dropoutName } from '../../adapters/keys.ts'
import { matrixOf, rowsOf, transpose, type Matrix } from '../../base/linalg/matrix.ts'
import { multiply } from '../../base/linalg/matmul.ts'
import { fastKernels } from '../../base/linalg/simd.ts'
import { f32, type F32Tensor, type Tensor } from '../../base/tensor.ts'
import { modulesOf } from '../../graph/model-graph.ts'
import { dropoutMasks } from './masks.ts'
import type { StandaloneProgram } from './program.ts'
import type { VectorBatch } from './vector-batch.ts'

/** One layer's place in the stack. */
interface Detour {
  readonly a: string
  readonly b: string
  readonly mask: string
  readonly first: number
  readonly rank: number
  readonly scale: number
}

function detoursOf({ graph }: StandaloneModel, config: LoraConfig): Detour[] {
  const { prefix } = graph.blocks[0]!
  let first = 0
  return modulesOf(graph).flatMap((module) => {
    if (lora.parameters(config, module).length === 0) return []
    const { rank, scale } = rankAndScale(config, module)
    const keys = { a: peftKey(`${module.path}.${loraParts.a}`), b: peftKey(`${module.path}.${loraParts.b}`) }
    const detour = { ...keys, mask: prefix + dropoutName(module.path.slice(prefix.length)), first, rank, scale }
    first += rank
    return [detour]
  })
}

/** to[r, i] = factor · from[i, r], or back: from [rows, columns] to [columns, rows]. */
function transposeInto(to: Float32Array, from: Float32Array, rows: number, columns: number, factor: number): void {
  for (let row = 0; row < rows; row++) for (let column = 0; column < columns; column++) to[column * rows + row] = factor * from[row * columns + column]! // prettier-ignore
}

/** Turns y into G in place, and gives the loss. */
function errorInto(y: Float32Array, { rows, width, targets, weights }: VectorBatch): number {
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

/** A layer's or all layers' rows of the stack, with what flows into them. */
interface Lane {
  readonly first: number
  readonly rank: number
  readonly x: Matrix<Float32Array> // [N, D]
}

export function loraProgram(model: StandaloneModel, config: LoraConfig): StandaloneProgram {
  const { width, graph } = model
  const detours = detoursOf(model, config)
  const rank = detours.reduce((sum, detour) => sum + detour.rank, 0)
  const { f32: kernel } = fastKernels()
  const [A, B] = [matrixOf(rank, width, new Float32Array(rank * width)), matrixOf(rank, width, new Float32Array(rank * width))]

  function fill(parameters: ReadonlyMap<string, Tensor>): void {
    for (const { a, b, first, rank: own, scale } of detours) {
      A.data.set(parameters.get(a)!.data as Float32Array, first * width)
      const part = B.data.subarray(first * width, (first + own) * width)
      transposeInto(part, parameters.get(b)!.data as Float32Array, width, own, scale)
    }
  }

  /** Without dropout, all layers see the same rows and are one lane. */
  function lanesOf({ rows, inputs }: VectorBatch, masks: ReadonlyMap<string, Tensor>): Lane[] {
    if (masks.size === 0) return [{ first: 0, rank, x: matrixOf(rows, width, inputs) }]
    return detours.map(({ mask, first, rank: own }) => {
      const keep = masks.get(mask)!.data as Float32Array
      return { first, rank: own, x: matrixOf(rows, width, inputs.map((value, i) => value * keep[i]!)) } // prettier-ignore
    })
  }

  /** Y in an array of its own, and each lane's H. */
  function forward({ rows, inputs }: VectorBatch, lanes: readonly Lane[]): { y: Matrix<Float32Array>; lows: Matrix<Float32Array>[] } {
    const y = matrixOf(rows, width, inputs.slice())
    const lows = lanes.map(({ first, rank: own, x }) => {
      const low = matrixOf(rows, own, new Float32Array(rows * own)) // [N, R]
      multiply(low, x, transpose(rowsOf(A, first, own)), { kernel })
      multiply(y, low, rowsOf(B, first, own), { kernel, add: true })
      return low
    })
    return { y, lows }
  }

  function backward(error: Matrix<Float32Array>, lanes: readonly Lane[], lows: readonly Matrix<Float32Array>[]): Map<string, F32Tensor> {
    const [toA, toB] = [matrixOf(rank, width, new Float32Array(rank * width)), matrixOf(rank, width, new Float32Array(rank * width))]
    lanes.forEach(({ first, rank: own, x }, lane) => {
      const back = matrixOf(error.rows, own, new Float32Array(error.rows * own)) // [N, R]
      multiply(back, error, transpose(rowsOf(B, first, own)), { kernel })
      multiply(rowsOf(toA, first, own), transpose(back), x, { kernel })
      multiply(rowsOf(toB, first, own), transpose(lows[lane]!), error, { kernel })
    })
    const gradients = new Map<string, F32Tensor>()
    for (const { a, b, first, rank: own, scale } of detours) {
      const part = (stack: Matrix<Float32Array>): Float32Array => stack.data.subarray(first * width, (first + own) * width)
      const ofB = new Float32Array(width * own)
      transposeInto(ofB, part(toB), own, width, scale)
      gradients.set(a, f32([own, width], part(toA)))
      gradients.set(b, f32([width, own], ofB))
    }
    return gradients
  }

  return {
    async gradients(batch, parameters, { dropoutSeed = 0 } = {}) {
      fill(parameters)
      const lanes = lanesOf(batch, dropoutMasks(graph.blocks, config, batch, dropoutSeed))
      const { y, lows } = forward(batch, lanes)
      const loss = errorInto(y.data, batch)
      return { loss, gradients: backward(y, lanes, lows) }
    },
    async loss(batch, parameters) {
      fill(parameters)
      return errorInto(forward(batch, lanesOf(batch, new Map())).y.data, batch)
    },
    dispose: async () => {},
  }
}
