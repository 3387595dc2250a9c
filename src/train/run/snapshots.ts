// What a run saves: checkpoints, the best adapter, and after a failure the adapter of the last good
// state.

import { type Adapter, checkFinite } from '../../adapters/adapter.ts'
import { saveAdapter } from '../../adapters/files/peft.ts'
import { NumericError } from '../../base/errors.ts'
import type { F32Tensor } from '../../base/tensor.ts'
import type { ByteSink } from '../../formats/byte-source.ts'
import { writeCheckpoint } from './checkpoint.ts'
import { copyRunState, copyTensors, type RunState } from './run-state.ts'
import type { Fingerprint } from '../fingerprint.ts'
import { scoresKey, toScoresMetadata } from './scores.ts'
import type { Snapshot, TrainEvent } from '../events.ts'

/** The snapshots of a run. */
export interface SnapshotSource {
  readonly adapter: Adapter
  readonly state: RunState
  readonly fingerprint: Fingerprint
  readonly nextSlot: number
}

const withTensors = (adapter: Adapter, tensors: ReadonlyMap<string, F32Tensor>): Adapter => ({
  ...adapter,
  tensors,
})

/** An adapter at a step; its validation loss replaces an earlier one in the metadata. */
function createSnapshot(
  adapter: Adapter,
  { step, loss, isValidated }: { step: number; loss: number; isValidated: boolean },
  tensors: ReadonlyMap<string, F32Tensor>,
): Snapshot {
  const { [scoresKey]: earlier, ...others } = adapter.metadata ?? {}
  const current = withTensors(adapter, tensors)
  if (!isValidated && earlier === undefined) return { step, loss, adapter: current }
  const scores = isValidated ? toScoresMetadata({ validation_loss: loss }) : {}
  return { step, loss, adapter: { ...current, metadata: Object.assign(others, scores) } }
}

export function getLastSnapshot({
  adapter,
  state,
}: Pick<SnapshotSource, 'adapter' | 'state'>): Snapshot {
  const { step } = state
  const validated = state.validations.findLast((validation) => validation.step === step)
  const loss = validated?.loss ?? state.steps.at(-1)?.loss ?? NaN
  const isValidated = validated !== undefined
  return createSnapshot(adapter, { step, loss, isValidated }, copyTensors(state.parameters))
}

/** The adapter with the lowest validation loss; the last one if nothing was validated. */
export function getBestSnapshot(run: Pick<SnapshotSource, 'adapter' | 'state'>): Snapshot {
  const { best } = run.state
  if (!best) return getLastSnapshot(run)
  const { step, loss, tensors } = best
  return createSnapshot(run.adapter, { step, loss, isValidated: true }, tensors)
}

/** A sink's subfolder. */
const toSubfolder = (sink: ByteSink, folder: string): ByteSink => ({
  name: `${sink.name}/${folder}`,
  write: (path, chunks) => sink.write(`${folder}/${path}`, chunks),
})

export type CheckpointEvent = Extract<TrainEvent, { type: 'checkpoint-saved' }>

/** A good state, and the number of the checkpoint file that is written next. */
export interface GoodState {
  readonly state: RunState
  readonly nextSlot: number
}

export interface RunSnapshots {
  /** The state of the last checkpoint, or of the start; undefined if it is not kept. */
  findGoodState(): GoodState | undefined
  /**
   * Writes a checkpoint unless there is one of this step. Throws NumericError instead of keeping
   * weights that are NaN or infinite.
   */
  saveCheckpoint(): AsyncGenerator<CheckpointEvent, void, void>
  /** Writes an adapter as a PEFT folder next to the checkpoints. */
  saveAdapter(name: 'best' | 'last', adapter: Adapter): Promise<void>
  /**
   * Writes the adapter of the last good state next to its checkpoint, and returns the error with a
   * note on it.
   */
  saveAfterFailure(error: NumericError): Promise<NumericError>
}

/**
 * Without a sink nothing is written. `keepsState` keeps the whole state of the last checkpoint in
 * memory, which takes about four times the adapter.
 */
export function createRunSnapshots(
  { adapter, state, fingerprint, nextSlot }: SnapshotSource,
  sink: ByteSink | undefined,
  { keepsState = false }: { readonly keepsState?: boolean } = {},
): RunSnapshots {
  let turn = nextSlot
  let goodState = keepsState ? copyRunState(state) : undefined
  let good = {
    step: state.step,
    tensors: state.step > 0 ? copyTensors(state.parameters) : undefined,
  }
  const writeAdapter = async (name: string, kept: Adapter): Promise<void> => {
    if (sink) await saveAdapter(kept, toSubfolder(sink, name))
  }
  return {
    findGoodState: () => goodState && { state: goodState, nextSlot: turn },
    async *saveCheckpoint() {
      if (!sink || good.step === state.step) return
      checkFinite({ tensors: state.parameters })
      const path = await writeCheckpoint({ state, fingerprint }, sink, turn++)
      good = { step: state.step, tensors: copyTensors(state.parameters) }
      if (keepsState) goodState = copyRunState(state)
      yield { type: 'checkpoint-saved', step: state.step, path }
    },
    saveAdapter: writeAdapter,
    async saveAfterFailure(error) {
      if (!sink || !good.tensors) return error
      await writeAdapter('last', withTensors(adapter, good.tensors))
      const best = state.best
        ? `, the best one, of step ${state.best.step}, in ${sink.name}/best`
        : ''
      return new NumericError(
        `${error.message} The last good state is that of step ${good.step}: its checkpoint, and its adapter in ${sink.name}/last${best}.`,
        { cause: error },
      )
    },
  }
}
