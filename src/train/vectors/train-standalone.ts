// Training an adapter over vectors, with the optimisers, schedules, clipping, early stopping and
// history of `train`; no language model is needed.

import { NumericError } from '../../base/errors.ts'
import { type F32Tensor, sizeOf } from '../../base/tensor.ts'
import { type EmbeddingDataset, countExamples } from '../datasets/adapter-dataset.ts'
import { findDivergence } from '../run/divergence.ts'
import { isOutOfPatience } from '../run/early-stopping.ts'
import { copyTensors } from '../run/initial-state.ts'
import { getBestSnapshot, getLastSnapshot } from '../run/snapshots.ts'
import { computeLearningRate } from '../options/recipe.ts'
import { createEventRun, type EventRun } from '../run/event-run.ts'
import { createSpeedometer, type Speedometer } from '../run/speed.ts'
import { applyStep, measureStep } from '../run/step.ts'
import type { StandaloneEvent } from './events.ts'
import type { StandaloneOptions } from './options.ts'
import { createExampleOrder, prepareStandalone, type StandaloneRun } from './prepare.ts'
import type { StandaloneProgram } from './program.ts'
import { gatherRows } from './vector-batch.ts'

export type StandaloneTrainRun = EventRun<StandaloneEvent>

/**
 * Trains a standalone adapter on inputs and targets [N, D]: iterate over the events, or await
 * `done`, the last event with the adapter. Minimises
 *
 *     L = Σ_n quality_n · ‖y_n − target_n‖² / (D · Σ_n quality_n)
 *
 * by its exact gradient. The same options and data give the same numbers. Throws what
 * prepareStandalone throws, and NumericError naming the step where the loss turns NaN or stays too
 * high.
 */
export const trainStandalone = (options: StandaloneOptions): StandaloneTrainRun =>
  createEventRun(() => runTraining(options))

async function* runTraining(
  options: StandaloneOptions,
): AsyncGenerator<StandaloneEvent, void, void> {
  const run = await prepareStandalone(options)
  const { data, used, validation, steps } = run.rows
  const sizes = run.trainable.map((key) => sizeOf(run.state.parameters.get(key)!.shape))
  yield {
    type: 'data-ready',
    examples: countExamples(data),
    used: used.length,
    validation: validation ? countExamples(validation) : 0,
    steps,
    trainableParameters: sizes.reduce((sum, size) => sum + size, 0),
  }
  try {
    yield* runSteps(run, options)
  } finally {
    await run.program.dispose()
  }
}

async function* runSteps(
  run: StandaloneRun,
  { signal, now = () => performance.now() }: StandaloneOptions,
): AsyncGenerator<StandaloneEvent, void, void> {
  const { state } = run
  const { steps, stepsPerEpoch, validation } = run.rows
  const { settings } = run.recipe
  const speed = createSpeedometer(now)
  const rowsAt = createExampleOrder(run)
  const isAborted = (): boolean => signal?.aborted === true
  let impatient = false
  while (state.step < steps && !impatient && !isAborted()) {
    yield await runStep(run, rowsAt(state.step + 1), speed)
    if (!validation || (state.step % stepsPerEpoch !== 0 && state.step < steps)) continue
    yield await validate(run, validation)
    impatient = state.step < steps && isOutOfPatience(state.validations, settings)
  }
  const best = getBestSnapshot(run)
  const last = getLastSnapshot(run)
  const reason = state.step === steps ? 'finished' : impatient ? 'early-stopped' : 'stopped'
  const history = { steps: state.steps, validations: state.validations }
  yield { type: 'train-end', reason, adapter: best.adapter, best, last, history }
}

async function runStep(
  run: StandaloneRun,
  rows: readonly number[],
  speed: Speedometer,
): Promise<StandaloneEvent> {
  const { recipe, state } = run
  const { data, steps, stepsPerEpoch } = run.rows
  const { settings } = recipe
  const step = state.step + 1
  const learningRate = computeLearningRate(recipe, settings, step, steps)
  const weight = rows.reduce((sum, row) => sum + data.quality[row]!, 0)
  const batch = gatherRows(data, rows, 1 / weight)
  const measured = await speed.measure(rows.length, () =>
    measureStep([batch], state, run.program, run.rule, settings.seed),
  )
  const { loss, gradientNorm } = measured
  const problem = findDivergence(state.steps, loss, { factor: settings.divergenceFactor })
  if (problem !== undefined)
    throw new NumericError(`Training stopped at step ${step}: ${problem}. Lower the learning rate.`)
  speed.more(() => applyStep(state, measured, run.rule, learningRate))
  state.steps.push({ step, loss, learningRate, gradientNorm })
  return {
    type: 'step-end',
    step,
    steps,
    epoch: Math.ceil(step / stepsPerEpoch),
    loss,
    learningRate,
    gradientNorm,
    examplesPerSecond: speed.tokensPerSecond(),
    secondsLeft: speed.secondsLeft(steps - step),
  }
}

const validationRows = 256 // at a time: enough for the products, little memory

/** The quality-weighted loss over a whole data set. */
export async function computeStandaloneLoss(
  program: Pick<StandaloneProgram, 'loss'>,
  parameters: ReadonlyMap<string, F32Tensor>,
  data: EmbeddingDataset,
): Promise<number> {
  const rows = Array.from(data.quality.keys())
  const scale = 1 / data.quality.reduce((sum, quality) => sum + quality, 0)
  let loss = 0
  for (let start = 0; start < rows.length; start += validationRows)
    loss += await program.loss(
      gatherRows(data, rows.slice(start, start + validationRows), scale),
      parameters,
    )
  return loss
}

async function validate(
  { state, program }: StandaloneRun,
  held: EmbeddingDataset,
): Promise<StandaloneEvent> {
  const loss = await computeStandaloneLoss(program, state.parameters, held)
  const { step } = state
  state.validations.push({ step, loss })
  const isBest = Number.isFinite(loss) && (!state.best || loss < state.best.loss)
  if (isBest) state.best = { step, loss, tensors: copyTensors(state.parameters) }
  return { type: 'validation-end', step, loss, isBest }
}
