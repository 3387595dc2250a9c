// Training: an adapter learns from data through the frozen base, step by step, and tells what happens as events.

import { type Adapter, checkFinite } from '../adapters/adapter.ts'
import { saveAdapter } from '../adapters/peft.ts'
import { f32, type F32Tensor } from '../base/tensor.ts'
import type { ByteSink } from '../formats/byte-source.ts'
import type { Batch } from './batch.ts'
import { writeCheckpoint } from './checkpoint.ts'
import type { EncodedRow } from './data/encode.ts'
import type { Snapshot, TrainEvent } from './events.ts'
import { createGradientProgram, type GradientProgram } from './gradient-program.ts'
import { scheduleOf, type TrainOptions, warmupOf } from './options.ts'
import { type BatchPlan, buildBatch } from './packing.ts'
import { type PreparedRun, prepareRun, type RunData } from './prepare.ts'
import { learningRateFactor } from './schedules/schedules.ts'
import { speedometer } from './speed.ts'
import { takeStep } from './step.ts'

type RunOptions = Pick<TrainOptions, 'checkpoint' | 'validation' | 'signal' | 'now'>
type RunProgram = Pick<GradientProgram, 'gradients' | 'loss'>

/**
 * Trains an adapter; iterate over the events, the last of which is 'train-end' with the adapter. Loss is the mean cross-entropy, in nats, of the
 * tokens marked as labels. The same options and data give the same numbers; a run that was killed and goes on from its checkpoint gives them too.
 * Throws what `prepareRun` throws, and NumericError naming the step where loss or gradient turn NaN: then the last checkpoint stays.
 */
export async function* train(options: TrainOptions): AsyncGenerator<TrainEvent, void, void> {
  const run = await prepareRun(options)
  yield run.ready
  const program = await createGradientProgram({
    graph: options.model.base.graph,
    weights: run.weights,
    backend: options.model.backend,
    adapter: run.adapter,
    trainable: run.trainable,
    checkpointing: run.settings.checkpointing,
  })
  try {
    yield* runSteps(run, program, options)
  } finally {
    await program.dispose()
  }
}

/** The steps of a prepared run, from where its state stands to the end or until the signal. */
export async function* runSteps(run: PreparedRun, program: RunProgram, options: RunOptions): AsyncGenerator<TrainEvent, void, void> {
  const { plan, state } = run
  const { signal, checkpoint, validation, now = () => performance.now() } = options
  const speed = speedometer(now)
  const due = (everySteps: number | undefined): boolean => everySteps !== undefined && state.step % everySteps === 0
  const save = checkpointWriter(run, checkpoint?.sink)
  const goesOn = (): boolean => state.step < plan.steps && signal?.aborted !== true
  while (goesOn()) {
    yield await nextStep(run, program, speed)
    const isLast = state.step === plan.steps
    if (run.validation && (isLast || (validation?.everySteps === undefined ? plan.endsEpoch(state.step) : due(validation.everySteps)))) {
      const validated = await validate(run, run.validation, program)
      yield validated
      if (checkpoint && validated.isBest) await saveAdapter(bestOf(run).adapter, folderIn(checkpoint.sink, 'best'))
    }
    if (isLast || signal?.aborted || due(checkpoint?.everySteps)) yield* save()
  }
  yield* save()
  const [best, last] = [bestOf(run), lastOf(run)]
  if (checkpoint) {
    await saveAdapter(best.adapter, folderIn(checkpoint.sink, 'best'))
    await saveAdapter(last.adapter, folderIn(checkpoint.sink, 'last'))
  }
  const history = { steps: state.steps, validations: state.validations }
  yield { type: 'train-end', reason: state.step < plan.steps ? 'stopped' : 'finished', adapter: best.adapter, best, last, history }
}

/** Tokens' weights as labels in a batch's rows. */
const weightOf = (rows: readonly EncodedRow[], plans: readonly BatchPlan[]): number =>
  plans.flat(2).reduce((sum, row) => sum + rows[row]!.weights.reduce((part, weight) => part + weight, 0), 0)

/** Batches whose label weights add up to 1, so that their summed loss is the mean of a scored token. */
export function batchesOf({ rows, shared }: RunData, plans: readonly BatchPlan[]): Batch[] {
  const scale = 1 / weightOf(rows, plans)
  return plans.map((plan) => buildBatch(rows, plan, { shared, scale }))
}

async function nextStep(run: PreparedRun, program: RunProgram, speed: ReturnType<typeof speedometer>): Promise<TrainEvent> {
  const { settings, plan, data, state } = run
  const step = state.step + 1
  const plans = plan.batchesOf(step)
  const { schedule, settings: shape } = scheduleOf(settings)
  const factor = learningRateFactor(schedule, shape, step, { steps: plan.steps, warmupSteps: warmupOf(settings, plan.steps) })
  const learningRate = settings.learningRate * factor
  const measured = await speed.measure(
    plans.flat(2).reduce((sum, row) => sum + data.rows[row]!.ids.length, 0),
    () => takeStep(batchesOf(data, plans), state, program, run.rule, { learningRate, seed: settings.seed }),
  )
  state.steps.push({ step, learningRate, ...measured })
  return {
    type: 'step-end',
    step,
    steps: plan.steps,
    epoch: plan.epochOf(step),
    learningRate,
    ...measured,
    tokensPerSecond: speed.tokensPerSecond(),
    secondsLeft: speed.secondsLeft(plan.steps - step),
  }
}

const copyOf = (tensors: ReadonlyMap<string, F32Tensor>): Map<string, F32Tensor> =>
  new Map([...tensors].map(([key, { shape, data }]) => [key, f32(shape, data.slice())]))

/** Measures the loss on the validation data, and keeps the adapter where it is the lowest so far. */
async function validate(
  { state }: PreparedRun,
  held: NonNullable<PreparedRun['validation']>,
  program: RunProgram,
): Promise<Extract<TrainEvent, { type: 'validation-end' }>> {
  let loss = 0
  for (const batch of batchesOf(held, held.batches)) loss += await program.loss(batch, state.parameters)
  const { step } = state
  state.validations.push({ step, loss })
  const isBest = Number.isFinite(loss) && (!state.best || loss < state.best.loss)
  if (isBest) state.best = { step, loss, tensors: copyOf(state.parameters) }
  return { type: 'validation-end', step, loss, isBest }
}

/** Saves what is not saved yet. Throws NumericError instead of keeping weights that are NaN or infinite. */
function checkpointWriter({ state, fingerprint, nextTurn }: PreparedRun, sink: ByteSink | undefined) {
  let turn = nextTurn
  let savedStep = state.step
  return async function* (): AsyncGenerator<TrainEvent, void, void> {
    if (!sink || savedStep === state.step) return
    checkFinite({ tensors: state.parameters })
    const path = await writeCheckpoint({ state, fingerprint }, sink, turn++)
    savedStep = state.step
    yield { type: 'checkpoint-saved', step: savedStep, path }
  }
}

const withTensors = (adapter: Adapter, tensors: ReadonlyMap<string, F32Tensor>): Adapter => ({ ...adapter, tensors })

function lastOf({ adapter, state }: PreparedRun): Snapshot {
  const loss = state.validations.findLast(({ step }) => step === state.step)?.loss ?? state.steps.at(-1)?.loss ?? NaN
  return { step: state.step, loss, adapter: withTensors(adapter, copyOf(state.parameters)) }
}

/** The adapter with the lowest validation loss; the last one where nothing was validated. */
function bestOf(run: PreparedRun): Snapshot {
  const { best } = run.state
  return best ? { step: best.step, loss: best.loss, adapter: withTensors(run.adapter, best.tensors) } : lastOf(run)
}

/** A sink's subfolder. */
const folderIn = (sink: ByteSink, folder: string): ByteSink => ({
  name: `${sink.name}/${folder}`,
  write: (path, chunks) => sink.write(`${folder}/${path}`, chunks),
})
