// Runs the stages that replace the model's head for some sequences of a call; sequences of the same
// stage run together. One that throws fails its own sequences only.

import { f32, type F32Tensor } from '../../base/tensor.ts'
import type { LogitsStage } from './logits/stage.ts'
import type { ServedSequence } from './request.ts'
import type { CallResult, LookedStates } from './step-runner.ts'

/** Logits of the sequences that have a stage; sequences of the same stage run together. */
export async function runStages(
  { states }: CallResult,
  onError: (task: ServedSequence, error: unknown) => void,
): Promise<Map<ServedSequence, Float32Array>> {
  const groups = Map.groupBy(states.keys(), ({ settings }) => settings.stage!.stage)
  const logits = new Map<ServedSequence, Float32Array>()
  for (const [stage, tasks] of groups) {
    try {
      const contexts = tasks.map(({ settings }) => settings.stage!.context)
      const looked = tasks.map((task) => states.get(task)!)
      const { data, shape } = await runStage(stage, contexts, looked)
      const width = shape[1]!
      tasks.forEach((task, i) => logits.set(task, data.subarray(i * width, (i + 1) * width)))
    } catch (error) {
      for (const task of tasks) onError(task, error)
    }
  }
  return logits
}

/** Logits of several tokens of one sequence. */
export async function runStageAhead(
  { settings }: ServedSequence,
  states: readonly LookedStates[],
): Promise<Float32Array[]> {
  const { stage, context } = settings.stage!
  const { data, shape } = await runStage(
    stage,
    states.map(() => context),
    states,
  )
  const width = shape[1]!
  return states.map((_, i) => data.subarray(i * width, (i + 1) * width))
}

function runStage(
  stage: LogitsStage<unknown>,
  contexts: readonly unknown[],
  states: readonly LookedStates[],
): Promise<F32Tensor> {
  const hidden = joinRows(states.map((one) => one.hidden))
  const taps = states.map(({ tap }) => tap)
  const tapped = taps.every((tap) => tap !== undefined) ? joinRows(taps) : undefined
  return stage.run(contexts, hidden, tapped)
}

/** Rows [D] as [M, D]. */
function joinRows(rows: readonly Float32Array[]): F32Tensor {
  const width = rows[0]!.length
  const joined = f32([rows.length, width])
  rows.forEach((row, i) => joined.data.set(row, i * width))
  return joined
}
