// The forward pass of one module, y = scale·B·A·x + bias, in the scratch that all modules share.

import { ShapeError } from '../../base/errors.ts'
import { isAllFinite } from '../../base/finite.ts'
import type { ModuleMemory } from './memory.ts'

/** y in the scratch becomes the bias, or zero. */
export function startOutput(memory: ModuleMemory): void {
  memory.checkAlive()
  const { kernels, scratch } = memory.context
  kernels.clear(scratch.y, memory.layout.outStride)
  addBias(memory)
}

export function addBias({ config, context, layout, gradientOfBias }: ModuleMemory): void {
  if (!config.bias) return
  const array = context.heap.array()
  const { y } = context.scratch
  const from = gradientOfBias - layout.slotSize
  for (let i = 0; i < layout.outFeatures; i++) array[y + i]! += array[from + i]!
}

/** y in the scratch += scale·B·A·x of the x in the scratch; the sum of squares of scale·A·x. */
export function addLowRank({ a, b, context, layout, scale }: ModuleMemory): number {
  const { kernels, scratch } = context
  const { rank, inStride, outStride } = layout
  return kernels.forward(rank, a, b, scratch.x, scratch.u, scratch.y, inStride, outStride, scale)
}

/** y in the scratch += scale·B·A·input. Throws NumericError if input or sum is not finite. */
export function addForward(memory: ModuleMemory, input: Float32Array): void {
  memory.put(input, memory.context.scratch.x, memory.layout.inStride)
  if (!(addLowRank(memory) < Infinity)) memory.refuseNonFinite('input', input)
}

/** Starts y in the scratch with `output` plus the bias. Throws NumericError. */
export function loadOutput(memory: ModuleMemory, output: Float32Array): void {
  const { heap, kernels, scratch } = memory.context
  kernels.clear(scratch.y, memory.layout.outStride)
  heap.array().set(output, scratch.y)
  if (!(kernels.squares(scratch.y, memory.layout.outStride) < Infinity))
    memory.refuseNonFinite('output', output)
  addBias(memory)
}

/**
 * N inputs one after the other: [N, in] → [N, out], into `outputs` or a new array. Throws
 * ShapeError, NumericError; then `outputs` is unchanged.
 */
export function runForwardBatch(
  memory: ModuleMemory,
  inputs: Float32Array,
  outputs?: Float32Array,
): Float32Array {
  const { inFeatures, outFeatures } = memory.layout
  const count = inputs.length / inFeatures
  if (!(inputs instanceof Float32Array) || !Number.isInteger(count))
    throw new ShapeError(
      `${memory.name}: inputs: got ${inputs?.length} values, expected a multiple of ${inFeatures} in a Float32Array.`,
    )
  if (outputs) memory.checkVector('outputs', outputs, count * outFeatures)
  if (!isAllFinite(inputs)) memory.refuseNonFinite('inputs', inputs)
  // separate from `outputs`, because a later input may be refused
  const results = new Float32Array(count * outFeatures)
  for (let n = 0; n < count; n++) {
    startOutput(memory)
    addForward(memory, inputs.subarray(n * inFeatures, (n + 1) * inFeatures))
    results.set(memory.output, n * outFeatures)
  }
  if (!outputs) return results
  outputs.set(results)
  return outputs
}
