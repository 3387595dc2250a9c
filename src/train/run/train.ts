// Training: an adapter learns from data through the frozen base, step by step, and reports what
// happens as events.

import { NumericError } from '../../base/errors.ts'
import { findDivergence, computeLossLimit } from './divergence.ts'
import { isOutOfPatience } from './early-stopping.ts'
import type { TrainEvent } from '../events.ts'
import { consolidateWithProgress } from '../ewc/consolidate.ts'
import { createGradientProgram, type GradientProgram } from '../programs/gradient-program.ts'
import { canFallBack, switchToLora, toLoraState } from './dora-fallback.ts'
import {
  createRunSnapshots,
  getBestSnapshot,
  getLastSnapshot,
  type GoodState,
  type RunSnapshots,
} from './snapshots.ts'
import type { BatchPlan } from '../batches/packing.ts'
import { sumShards } from '../replicas/sum-shards.ts'
import type { TrainOptions } from '../options/options.ts'
import { computeLearningRate } from '../options/recipe.ts'
import { createEventRun, type EndOf, type EventRun } from './event-run.ts'
import { type PreparedRun, prepareRun } from './prepare.ts'
import { createSpeedometer, type Speedometer } from './speed.ts'
import {
  applyStep,
  completeStep,
  computeDropoutSeed,
  type MeasuredStep,
  measureStep,
} from './step.ts'
import { validate } from './validate.ts'

type RunOptions = Pick<TrainOptions, 'checkpoint' | 'signal' | 'now'>
type RunProgram = Pick<GradientProgram, 'gradients' | 'loss' | 'measure'>

export type TrainRun = EventRun<TrainEvent>
/** The last event of a run, with the adapter. */
export type TrainResult = EndOf<TrainEvent>

/**
 * Trains an adapter: iterate over the events, or await `done`, the last event with the adapter.
 * Loss is the mean cross-entropy, in nats, of the tokens marked as labels, unless another loss is
 * chosen. The same options and data give the same numbers, and so does a run that was killed and
 * resumed from its checkpoint. Throws what `prepareRun` throws, and NumericError naming the step
 * where the loss or a gradient turns NaN or the loss stays too high; the last good checkpoint and
 * its adapter remain.
 */
export const train = (options: TrainOptions): TrainRun => createEventRun(() => runTraining(options))

async function* runTraining(options: TrainOptions): AsyncGenerator<TrainEvent, void, void> {
  const run = await prepareRun(options)
  yield run.ready
  try {
    const diverged = yield* runOnProgram(run, options)
    if (!diverged) return
    const { good, step, reason } = diverged
    const { graph } = options.model.base
    const goesOnAfter = good.state.step
    yield { type: 'kind-changed', kind: 'lora', step, goesOnAfter, reason }
    const state = toLoraState(good.state)
    const { nextSlot } = good
    const asLora = { ...switchToLora(graph, run.adapter, run.recipe), state, nextSlot }
    yield* runOnProgram(Object.assign({}, run, asLora), options)
  } finally {
    await run.objective.dispose()
  }
}

/** Runs the steps of a run, and the measurements after them. */
async function* runOnProgram(
  run: PreparedRun,
  options: TrainOptions,
): AsyncGenerator<TrainEvent, Diverged | undefined, void> {
  const program = await openProgram(run, options)
  try {
    // EWC protects only LoRA, for which there is no fallback to another kind
    if (!run.recipe.ewc) return yield* runSteps(run, program, options)
    for await (const event of runSteps(run, program, options))
      if (event.type === 'train-end' && event.reason !== 'stopped')
        yield* endWithImportance(event, run, options)
      else yield event
    return undefined
  } finally {
    await program.dispose()
  }
}

/** The run's program: its own, or one that an earlier run of the same shape has compiled. */
function openProgram(
  { adapter, objective, recipe, trainable, weights }: PreparedRun,
  { model, programs }: TrainOptions,
) {
  const { checkpointing, loss, lossOptions } = recipe.settings
  const made = {
    graph: model.base.graph,
    weights,
    backend: model.backend,
    adapter,
    trainable,
    checkpointing,
    loss: objective.graph,
  }
  if (!programs) return createGradientProgram(made)
  const { peft: _peft, ...config } = adapter.config
  const key = JSON.stringify([adapter.kind, config, trainable, checkpointing, loss, lossOptions])
  return programs.take(made, key, createGradientProgram)
}

/**
 * The end of a run with EWC: measures the importance of each weight of the best adapter for its
 * task.
 */
async function* endWithImportance(
  end: Extract<TrainEvent, { type: 'train-end' }>,
  { weights, rows, recipe: { ewc, settings } }: PreparedRun,
  { model }: TrainOptions,
): AsyncGenerator<TrainEvent, void, void> {
  if (!ewc) return yield end
  const { decay, sample, state } = ewc
  const measuring = consolidateWithProgress({
    model,
    adapter: end.adapter,
    rows: rows.data.rows,
    weights,
    seed: settings.seed,
    decay,
    sample,
    ...(state && { previous: state }),
  })
  let next = await measuring.next()
  for (; !next.done; next = await measuring.next())
    yield { type: 'importance-measured', ...next.value }
  yield { ...end, ewc: next.value }
}

/** A run that diverged and may continue as LoRA: its last good state, and the error. */
interface Diverged {
  readonly good: GoodState
  readonly step: number
  readonly reason: string
}

/**
 * The steps of a prepared run, from its current state to the end, until validations run out of
 * patience, or until the signal. Returns where it diverged if it may continue as LoRA.
 */
export async function* runSteps(
  run: PreparedRun,
  program: RunProgram,
  options: RunOptions,
): AsyncGenerator<TrainEvent, Diverged | undefined, void> {
  const { state, group } = run
  const { plan, data, validation } = run.rows
  const { settings } = run.recipe
  const { checkpoint } = options
  const keepsState = canFallBack(run.recipe, run.adapter)
  const keeper = createRunSnapshots(run, checkpoint?.sink, { keepsState })
  const isEarly = (): boolean =>
    state.step < plan.steps && isOutOfPatience(state.validations, settings)
  const goesOn = (): boolean => state.step < plan.steps && !isEarly() && !group.isStopped()
  const speed = createSpeedometer(options.now ?? (() => performance.now()))
  try {
    if (goesOn())
      yield* run.objective.precompute([data, ...(validation ? [validation] : [])], {
        group,
        step: state.step + 1,
        signal: options.signal,
      })
    while (goesOn()) yield* runNextStep(run, program, options, keeper, speed)
    yield* keeper.saveCheckpoint()
  } catch (error) {
    if (!(error instanceof NumericError)) throw error
    const good = keeper.findGoodState()
    if (good) return { good, step: state.step + 1, reason: error.message }
    throw await keeper.saveAfterFailure(error)
  }
  const best = getBestSnapshot(run)
  const last = getLastSnapshot(run)
  await keeper.saveAdapter('best', best.adapter)
  await keeper.saveAdapter('last', last.adapter)
  const reason = state.step === plan.steps ? 'finished' : isEarly() ? 'early-stopped' : 'stopped'
  const history = { steps: state.steps, validations: state.validations }
  yield { type: 'train-end', reason, adapter: best.adapter, best, last, history }
  return undefined
}

/**
 * One step, with the checkpoints and validations that are due. The state before the step is saved
 * once the step's loss has shown that the state is good.
 */
async function* runNextStep(
  run: PreparedRun,
  program: RunProgram,
  { checkpoint }: RunOptions,
  keeper: RunSnapshots,
  speed: Speedometer,
): AsyncGenerator<TrainEvent, void, void> {
  const { state, lossBounds } = run
  const { plan, validation } = run.rows
  const due = (everySteps: number | undefined): boolean =>
    everySteps !== undefined && state.step % everySteps === 0
  const measured = await measureNext(run, program, speed)
  const isSound = measured.loss <= computeLossLimit(state.steps, lossBounds)
  if (isSound && due(checkpoint?.everySteps)) yield* keeper.saveCheckpoint()
  yield applyNext(run, measured, speed)
  if (!validation) return
  const { everySteps } = validation
  const isDue = everySteps === undefined ? plan.endsEpoch(state.step) : due(everySteps)
  if (state.step < plan.steps && !isDue) return
  const validated = await validate(run, validation, program)
  yield validated
  if (validated.isBest) await keeper.saveAdapter('best', getBestSnapshot(run).adapter)
}

/**
 * Loss and gradients of the next step. Throws NumericError naming the step where they are not
 * finite, or where losses stay too high.
 */
async function measureNext(
  run: PreparedRun,
  program: RunProgram,
  speed: Speedometer,
): Promise<MeasuredStep> {
  const { state, lossBounds, group, objective, rule } = run
  const { plan, data } = run.rows
  const step = state.step + 1
  const plans = plan.batchesOf(step)
  const tokens = plans.flat(2).reduce((sum, row) => sum + data.rows[row]!.ids.length, 0)
  const { seed } = run.recipe.settings
  const measured = await speed.measure(tokens, async () =>
    group.shards === 1
      ? measureStep(objective.batches(data, plans), state, program, rule, seed)
      : completeStep(await sumDealtStep(run, plans, program), state, rule),
  )
  const problem = findDivergence(state.steps, measured.loss, lossBounds)
  if (problem === undefined) return measured
  throw new NumericError(
    `Training stopped at step ${step}: ${problem}. Lower the learning rate, or check the data for unusual rows.`,
  )
}

/** Loss and gradients of the next step, whose batches are distributed over shards. */
const sumDealtStep = (
  { rows: { data }, state, recipe, objective, group, trainable }: PreparedRun,
  plans: readonly BatchPlan[],
  program: RunProgram,
) =>
  sumShards(group, {
    step: state.step + 1,
    count: plans.length,
    trainable,
    parameters: state.parameters,
    batches: (places) => objective.batches(data, plans, places),
    compute: (batch, place) => {
      const dropoutSeed = computeDropoutSeed(recipe.settings.seed, state.step + 1, place)
      return program.gradients(batch, state.parameters, { dropoutSeed })
    },
  })

/** Applies the measured step. */
function applyNext(run: PreparedRun, measured: MeasuredStep, speed: Speedometer): TrainEvent {
  const { recipe, state, rule } = run
  const { plan } = run.rows
  const { loss, gradientNorm } = measured
  const step = state.step + 1
  const learningRate = computeLearningRate(recipe, recipe.settings, step, plan.steps)
  speed.more(() => applyStep(state, measured, rule, learningRate))
  state.steps.push({ step, learningRate, loss, gradientNorm })
  return {
    type: 'step-end',
    step,
    steps: plan.steps,
    epoch: plan.epochOf(step),
    learningRate,
    loss,
    gradientNorm,
    ...run.objective.report(measured.outputs),
    tokensPerSecond: speed.tokensPerSecond(),
    secondsLeft: speed.secondsLeft(plan.steps - step),
  }
}
