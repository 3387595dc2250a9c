// The loss on the validation data; its batches are distributed over the replicas.

import { NumericError } from '../../base/errors.ts'
import type { TrainEvent } from '../events.ts'
import type { GradientProgram } from '../programs/gradient-program.ts'
import type { MeasuredBatch } from '../replicas/note.ts'
import { listOwnPlaces, shareMeasures } from '../replicas/replica-group.ts'
import type { PreparedRun } from './prepare.ts'
import type { HeldRows } from './rows.ts'
import { copyTensors } from './run-state.ts'

/**
 * Measures the loss on the validation data, and keeps the adapter if the loss is the lowest so far.
 * Throws NumericError if it is not finite.
 */
export async function validate(
  { state, objective, group }: PreparedRun,
  held: HeldRows,
  program: Pick<GradientProgram, 'loss' | 'measure'>,
): Promise<Extract<TrainEvent, { type: 'validation-end' }>> {
  const { step, parameters } = state
  const places = listOwnPlaces(group, held.batches.length)
  const own: MeasuredBatch[] = []
  for await (const batch of objective.batches(held, held.batches, places)) {
    const index = places[own.length]!
    own.push(
      objective.reports
        ? Object.assign({ index }, await program.measure(batch, parameters))
        : { index, loss: await program.loss(batch, parameters) },
    )
  }
  const { batches } = await shareMeasures(group, step, own)
  const loss = batches.reduce((sum, measured) => sum + measured.loss, 0)
  const outputs = batches.flatMap((measured) => measured.outputs ?? [])
  if (!Number.isFinite(loss))
    throw new NumericError(
      `Training stopped after step ${step}: the validation loss is ${loss}. Lower the learning rate.`,
    )
  state.validations.push({ step, loss })
  const isBest = !state.best || loss < state.best.loss
  if (isBest) state.best = { step, loss, tensors: copyTensors(state.parameters) }
  return { type: 'validation-end', step, loss, ...objective.report(outputs), isBest }
}
