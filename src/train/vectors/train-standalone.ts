// Training an adapter over vectors, with the optimisers, schedules, clipping, early stopping and
// history of `train`; no language model is needed.

import { NumericError } from '../../base/errors.ts'
import { type F32Tensor, sizeOf } from '../../base/tensor.ts'
import { type EmbeddingDataset, countExamples } from '../datasets/adapter-dataset.ts'
import { computeLossLimit, findDivergence } from '../run/divergence.ts'
import { isOutOfPatience } from '../run/early-stopping.ts'
import { copyTensors } from '../run/run-state.ts'
import {
  createRunSnapshots,
  getBestSnapshot,
  getLastSnapshot,
  type RunSnapshots,
} from '../run/snapshots.ts'
import { computeLearningRate } from '../options/recipe.ts'
import { createEventRun, type EventRun } from '../run/event-run.ts'
import { createSpeedometer, type Speedometer } from '../run/speed.ts'
import { applyStep, type MeasuredStep, measureStep } from '../run/step.ts'
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
 * by its exact gradient. The same options and data give the same numbers, and so does a run that
 * was killed and resumed from its checkpoint. Throws what
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
    resumedAt: run.state.step,
    refusedCheckpoints: run.refused,
  }
  try {
    yield* runSteps(run, options)
  } finally {
    await run.program.dispose()
  }
}

async function* runSteps(
  run: StandaloneRun,
  options: StandaloneOptions,
): AsyncGenerator<StandaloneEvent, void, void> {
  const { state } = run
  const { steps } = run.rows
  const { settings } = run.recipe
  const keeper = createRunSnapshots(run, options.checkpoint?.sink)
  const isEarly = (): boolean => state.step < steps && isOutOfPatience(state.validations, settings)
  try {
    yield* runUntilEnd(run, options, keeper, isEarly)
    yield* keeper.saveCheckpoint()
  } catch (error) {
    throw error instanceof NumericError ? await keeper.saveAfterFailure(error) : error
  }
  const best = getBestSnapshot(run)
  const last = getLastSnapshot(run)
  await keeper.saveAdapter('best', best.adapter)
  await keeper.saveAdapter('last', last.adapter)
  const reason = state.step === steps ? 'finished' : isEarly() ? 'early-stopped' : 'stopped'
  const history = { steps: state.steps, validations: state.validations }
  yield { type: 'train-end', reason, adapter: best.adapter, best, last, history }
}

/** The steps from the current state, with the checkpoints and validations that are due. */
async function* runUntilEnd(
  run: StandaloneRun,
  { signal, checkpoint, now = () => performance.now() }: StandaloneOptions,
  keeper: RunSnapshots,
  isEarly: () => boolean,
): AsyncGenerator<StandaloneEvent, void, void> {
  const { state, rows } = run
  const { steps, validation, validationSteps } = rows
  const speed = createSpeedometer(now)
  const rowsAt = createExampleOrder(run)
  const isAborted = (): boolean => signal?.aborted === true
  const isDue = (everySteps: number | undefined): boolean =>
    everySteps !== undefined && state.step % everySteps === 0
  while (state.step < steps && !isEarly() && !isAborted()) {
    const measured = await measureNext(run, rowsAt(state.step + 1), speed)
    // a state is saved once the next step's loss has shown that it is good
    const limit = computeLossLimit(state.steps, getLossBounds(run))
    if (measured.loss <= limit && isDue(checkpoint?.everySteps)) yield* keeper.saveCheckpoint()
    yield applyNext(run, measured, speed)
    if (validation && (isDue(validationSteps) || state.step === steps))
      yield await validate(run, validation)
  }
}

const getLossBounds = ({ recipe }: StandaloneRun) => ({ factor: recipe.settings.divergenceFactor })

/** Loss and gradients of the next step. Throws NumericError if losses stay too high. */
async function measureNext(
  run: StandaloneRun,
  rows: readonly number[],
  speed: Speedometer,
): Promise<MeasuredStep> {
  const { recipe, state, program, rule } = run
  const { data } = run.rows
  const weight = rows.reduce((sum, row) => sum + data.quality[row]!, 0)
  const batch = gatherRows(data, rows, 1 / weight)
  const measured = await speed.measure(rows.length, () =>
    measureStep([batch], state, program, rule, recipe.settings.seed),
  )
  const problem = findDivergence(state.steps, measured.loss, getLossBounds(run))
  if (problem === undefined) return measured
  throw new NumericError(
    `Training stopped at step ${state.step + 1}: ${problem}. Lower the learning rate.`,
  )
}

/** Takes the step that was measured. */
function applyNext(run: StandaloneRun, measured: MeasuredStep, speed: Speedometer) {
  const { recipe, state, rule } = run
  const { steps, stepsPerEpoch } = run.rows
  const { loss, gradientNorm } = measured
  const step = state.step + 1
  const learningRate = computeLearningRate(recipe, recipe.settings, step, steps)
  speed.more(() => applyStep(state, measured, rule, learningRate))
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
  } as const
}

const validationRows = 256 // rows per batch: enough for fast products, little memory

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
