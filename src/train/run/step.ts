// One optimiser step: sums, checks, clips and applies the gradients of its batches. Changes
// parameters only if all values are finite.

import { NumericError } from '../../base/errors.ts'
import type { F32Tensor, Tensor } from '../../base/tensor.ts'
import type { StepRule } from '../optimizers/step-rule.ts'
import type { Batch } from '../batches/batch.ts'
import type { RunState } from './run-state.ts'
import { clipByGlobalNorm, computeGlobalNorm } from './clip.ts'
import type { NamedTensors } from '../losses/loss.ts'

/** Computes the gradients of one batch of rows of any type. */
export interface StepProgram<Rows = Batch> {
  gradients(
    batch: Rows,
    parameters: ReadonlyMap<string, Tensor>,
    options?: { dropoutSeed?: number },
  ): Promise<{ loss: number; gradients: ReadonlyMap<string, Tensor>; outputs?: NamedTensors }>
}

type Gradients = Map<string, Pick<F32Tensor, 'data' | 'shape'>>

function addGradients(sum: Gradients, gradients: ReadonlyMap<string, Tensor>): void {
  for (const [key, { data, shape }] of gradients) {
    const values = data as Float32Array
    const into = sum.get(key)?.data
    if (!into) sum.set(key, { data: values, shape })
    else for (let i = 0, size = into.length; i < size; i++) into[i]! += values[i]!
  }
}

const createNumericError = (step: number, what: string): NumericError =>
  new NumericError(
    `Training stopped at step ${step}: ${what}. Lower the learning rate, or check the data for unusual rows.`,
  )

/** Existing batches, or batches built one after the other. */
export type Batches<Rows> = Iterable<Rows> | AsyncIterable<Rows>

/** Loss and gradients of a step's batches together, and each batch's other outputs. */
export interface SummedGradients {
  readonly loss: number
  readonly gradients: Gradients
  readonly outputs: readonly NamedTensors[]
}

/**
 * Each batch has its own dropout, which depends on the step and the batch's place in it alone, so
 * that a resumed run draws the same.
 */
export const computeDropoutSeed = (seed: number, step: number, place: number): number =>
  (Math.imul(seed ^ step, 0x85ebca6b) + Math.imul(place, 0x9e3779b9)) | 0

/**
 * Loss and gradients of a step's batches together, and each batch's other outputs. Throws
 * NumericError if the loss is NaN or infinite.
 */
async function accumulateGradients<Rows>(
  batches: Batches<Rows>,
  state: RunState,
  program: StepProgram<Rows>,
  seed: number,
): Promise<SummedGradients> {
  const gradients: Gradients = new Map()
  const outputs: NamedTensors[] = []
  let loss = 0
  let i = 0
  for await (const batch of batches) {
    const dropoutSeed = computeDropoutSeed(seed, state.step + 1, i++)
    const part = await program.gradients(batch, state.parameters, { dropoutSeed })
    loss += part.loss
    addGradients(gradients, part.gradients)
    if (part.outputs) outputs.push(part.outputs)
  }
  return { loss, gradients, outputs }
}

/** A step that is computed and not applied yet. */
export interface MeasuredStep {
  readonly loss: number
  /** Before clipping. */
  readonly gradientNorm: number
  readonly gradients: Gradients
  /** The loss's other outputs, by batch. */
  readonly outputs: readonly NamedTensors[]
}

/**
 * Loss and clipped gradients of the next step; changes nothing. The batches' label weights must add
 * up to 1, so that the loss is the mean over scored tokens. Throws NumericError naming the step
 * when the loss or a gradient is NaN or infinite.
 */
export async function measureStep<Rows>(
  batches: Batches<Rows>,
  state: RunState,
  program: StepProgram<Rows>,
  rule: StepRule,
  seed: number,
): Promise<MeasuredStep> {
  return completeStep(await accumulateGradients(batches, state, program, seed), state, rule)
}

/** The same from summed gradients, which it clips in place. */
export function completeStep(
  { loss, gradients, outputs }: SummedGradients,
  state: RunState,
  { clip, penalty }: StepRule,
): MeasuredStep {
  const step = state.step + 1
  if (!Number.isFinite(loss)) throw createNumericError(step, `the loss is ${loss}`)
  penalty?.add(state.parameters, gradients)
  const gradientNorm = clip > 0 ? clipByGlobalNorm(gradients, clip) : computeGlobalNorm(gradients)
  if (!Number.isFinite(gradientNorm)) {
    const bad = [...gradients]
      .filter(([, { data }]) => !data.every(Number.isFinite))
      .map(([key]) => key)
    throw createNumericError(
      step,
      `the gradient's norm is ${gradientNorm} (${bad.slice(0, 3).join(', ') || 'it overflows'})`,
    )
  }
  return { loss, gradientNorm, gradients, outputs }
}

/** Applies a measured step: updates `state` in place. */
export function applyStep(
  state: RunState,
  { gradients }: Pick<MeasuredStep, 'gradients'>,
  rule: StepRule,
  learningRate: number,
): void {
  const step = state.step + 1
  for (const [key, { data }] of gradients) {
    const parameter = state.parameters.get(key)!
    const slots = Object.entries(state.optimizer.get(key) ?? {}).map(
      ([slot, tensor]) => [slot, tensor.data] as const,
    )
    rule.optimizer.update(
      {
        parameter: parameter.data,
        gradient: data,
        shape: parameter.shape,
        state: Object.fromEntries(slots),
        step,
        learningRate: learningRate * rule.rateOf(key),
      },
      rule.settings,
    )
  }
  state.step = step
}

/** Measures a step and applies it. Throws as `measureStep` does, before anything changes. */
export async function takeStep<Rows>(
  batches: Batches<Rows>,
  state: RunState,
  program: StepProgram<Rows>,
  rule: StepRule,
  { learningRate, seed }: { learningRate: number; seed: number },
): Promise<{ loss: number; gradientNorm: number }> {
  const measured = await measureStep(batches, state, program, rule, seed)
  applyStep(state, measured, rule, learningRate)
  return { loss: measured.loss, gradientNorm: measured.gradientNorm }
}
