// Elastic weight consolidation of one module: how important each weight was for earlier tasks, from
// the inputs seen (Kirkpatrick et al. 2017, arXiv:1612.00796). Diagonal, on A and B themselves;
// train/ewc works on ΔW instead, but needs more code than MicroLoRA's bundle has room for.

import { OptionError } from '../../base/errors.ts'
import type { LayoutPart } from './layout.ts'
import type { ModuleMemory } from './memory.ts'

const watchedShare = 0.01

/**
 * Updates the running mean squares of x and u in the scratch, which `count` inputs have then gone
 * into: plain means at first, then of about the last hundred.
 */
export function averageInputs({ context, layout, watchedAt }: ModuleMemory, count: number): void {
  const { kernels, scratch } = context
  const share = Math.max(1 / count, watchedShare)
  kernels.watch(watchedAt, scratch.x, layout.inStride, 1 - share, share)
  kernels.watch(watchedAt + layout.inStride, scratch.u, 16, 1 - share, share)
}

/**
 * Ends a task: the weights become the anchor, and how far the outputs of the inputs seen would
 * change is added to the importance,
 *
 *     F(w) = mean over inputs of Σ_o (∂y_o/∂w)²
 *     F(A_ri) = s²·‖B_r‖²·mean(x_i²)     F(B_or) = mean(u_r²), u = s·A·x     F(bias) = 1
 *     F ← keep·F + (1 − keep)·F(w), whole the first time
 *
 * online EWC: Schwarz et al. 2018, arXiv:1805.06370. This is the Fisher information of N(y, 1), not
 * squared gradients of the loss, because those vanish where the task was learned, also for outputs
 * that must stay zero, and then protect nothing. λ = 1 weighs a change of the old outputs as much
 * as a squared error of the new ones.
 */
export function consolidateWeights(memory: ModuleMemory, isFirst: boolean): void {
  const { config, context, layout, name, watchedAt } = memory
  if (!config.ewc) throw new OptionError(`${name}: consolidate needs the option ewc.`)
  const keep = isFirst ? 0 : config.ewcKeep
  for (const part of layout.parts)
    for (let r = 0; r < part.rows; r++) addImportance(memory, part, r, keep)
  context.kernels.clear(watchedAt, layout.watchedSize)
  context.kernels.copy(memory.slot('anchor'), memory.slot('weights'), layout.slotSize)
}

/** One row of a part. */
function addImportance(
  memory: ModuleMemory,
  { name, start, length, stride }: LayoutPart,
  r: number,
  keep: number,
): void {
  const { context, layout, scale, watchedAt } = memory
  const array = context.heap.array()
  const ofRow = (): number => {
    if (name === 'A')
      return (
        scale * scale * context.kernels.squares(memory.b + r * layout.outStride, layout.outStride)
      )
    return name === 'B' ? array[watchedAt + layout.inStride + r]! : 1
  }
  const whole = ofRow()
  const to = memory.slot('importance') + start + r * stride
  for (let i = 0; i < length; i++)
    array[to + i] =
      keep * array[to + i]! + (1 - keep) * whole * (name === 'A' ? array[watchedAt + i]! : 1)
}

/** EWC's running mean squares: of the input [in], then of the low-rank values [R]. */
export function readWatched({ context, layout, watchedAt }: ModuleMemory): Float32Array {
  const { inFeatures, inStride, rank } = layout
  const array = context.heap.array()
  return Float32Array.from([
    ...array.subarray(watchedAt, watchedAt + inFeatures),
    ...array.subarray(watchedAt + inStride, watchedAt + inStride + rank),
  ])
}

export function writeWatched(
  { context, layout, watchedAt }: ModuleMemory,
  values: Float32Array,
): void {
  const { inFeatures, inStride } = layout
  const array = context.heap.array()
  array.set(values.subarray(0, inFeatures), watchedAt)
  array.set(values.subarray(inFeatures), watchedAt + inStride)
}
