// Gradients of one module, accumulated in the heap: from a given ∂L/∂y, or from a target.

import { NumericError } from '../../base/errors.ts'
import { isAllFinite } from '../../base/finite.ts'
import type { Random } from '../../base/random.ts'
import { addBias, addLowRank, startOutput } from './forward.ts'
import type { ModuleMemory } from './memory.ts'

/**
 * Adds the gradient of any loss whose ∂L/∂y [out] is known. Throws ShapeError, NumericError; then
 * nothing has changed.
 */
export function accumulateGradient(
  memory: ModuleMemory,
  input: Float32Array,
  outputGradient: Float32Array,
): void {
  const { inFeatures, inStride, outFeatures, outStride } = memory.layout
  memory.checkVector('input', input, inFeatures)
  memory.checkVector('gradient', outputGradient, outFeatures)
  const { x, y } = memory.context.scratch
  memory.put(input, x, inStride)
  memory.put(outputGradient, y, outStride)
  accumulateScratch(memory, input, outputGradient)
}

/**
 * Adds the gradient of L = ½‖base + y − target‖² and returns L. `base` is the output of the layer,
 * by default zero. Dropout, drawn from `noise`, acts here. Throws ShapeError, NumericError; then
 * nothing has changed.
 */
export function accumulateTarget(
  memory: ModuleMemory,
  noise: Random,
  input: Float32Array,
  target: Float32Array,
  base?: Float32Array,
): number {
  const { inFeatures, outFeatures, inStride, outStride } = memory.layout
  memory.checkVector('input', input, inFeatures)
  memory.checkVector('target', target, outFeatures)
  if (base) memory.checkVector('base', base, outFeatures)
  const { heap, kernels, scratch } = memory.context
  startOutput(memory)
  if (base) {
    heap.array().set(base, scratch.y)
    addBias(memory)
  }
  memory.put(input, scratch.x, inStride)
  if (memory.config.dropout > 0) dropInputs(memory, noise)
  memory.put(target, scratch.t, outStride)
  addLowRank(memory)
  kernels.subtract(scratch.y, scratch.t, outStride)
  return accumulateScratch(memory, input, target, base)
}

/** x in the scratch becomes mask·x / (1 − dropout). */
function dropInputs({ config, context, layout }: ModuleMemory, noise: Random): void {
  const { dropout } = config
  const kept = 1 / (1 - dropout)
  const array = context.heap.array()
  const { x } = context.scratch
  for (let i = x; i < x + layout.inFeatures; i++) array[i]! *= noise.uniform() < dropout ? 0 : kept
}

/** The gradient from x and ∂L/∂y in the scratch; ½‖∂L/∂y‖². */
function accumulateScratch(
  memory: ModuleMemory,
  input: Float32Array,
  target: Float32Array,
  base?: Float32Array,
): number {
  const { kernels, scratch } = memory.context
  const { rank, inStride, outStride } = memory.layout
  const loss = kernels.backward(
    rank,
    memory.a,
    memory.b,
    memory.gradientOfA,
    memory.gradientOfB,
    memory.gradientOfBias,
    scratch.x,
    scratch.u,
    scratch.y,
    inStride,
    outStride,
    memory.scale,
  )
  if (!(loss < Infinity)) refuseGradient(memory, input, target, base ?? target)
  return loss
}

function refuseGradient(
  memory: ModuleMemory,
  input: Float32Array,
  target: Float32Array,
  base: Float32Array,
): never {
  if (!isAllFinite(input)) memory.refuseNonFinite('input', input)
  if (!isAllFinite(target)) memory.refuseNonFinite('target or gradient', target)
  if (!isAllFinite(base)) memory.refuseNonFinite('base', base)
  throw new NumericError(
    `${memory.name}: input and error are too large for 32-bit numbers; scale them down.`,
  )
}
