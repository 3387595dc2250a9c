// graft train in a process that is one replica of a run: events go to stdout, one per line, and the
// exit code shows whether a retry may help.

import { formatEvent } from '../../node/replicas/replica-events.ts'
import type { ReplicaPlace } from '../../node/replicas/replica-place.ts'
import { isLost, lostCode, trainReplica, endWithParent } from '../../node/replicas/train-replica.ts'
import { GraftError } from '../../base/errors.ts'
import type { Context } from '../command.ts'
import { openBase, collectRunOptions, type PlannedExpert } from './train-experts.ts'
import type { TrainOptionTable } from './train-option-table.ts'

/** Trains this replica's share; returns nothing, because the events hold everything. */
export async function trainAsReplica(
  planned: PlannedExpert,
  place: ReplicaPlace,
  { values, terminal, signal, commandLine, setExitCode }: Context<TrainOptionTable>,
): Promise<void> {
  const goOn = endWithParent()
  const say = (event: Parameters<typeof formatEvent>[0]): void => terminal.print(formatEvent(event))
  const threads = values.threads ?? place.threads
  const context = { values: { ...values, threads }, terminal, signal, commandLine }
  const { model } = await openBase([planned], context)
  try {
    const { out } = planned.run
    const options = { ...collectRunOptions(planned, context), out, model }
    for await (const event of await trainReplica(options, place)) if (place.rank === 0) say(event)
  } catch (error) {
    if (isLost(error)) {
      terminal.note(`graft: ${(error as Error).message}`)
      setExitCode(lostCode)
    } else if (GraftError.isInstance(error)) {
      say({ type: 'failed', name: error.name, message: error.message })
      setExitCode(1)
    } else throw error
  } finally {
    goOn()
    await model.dispose()
  }
}
