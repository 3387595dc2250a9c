// Checkpoints for exact resume: the complete state of a run after a step, in one safetensors file
// that is written atomically. Two files alternate, so that one remains if the other is damaged.

import { FormatError, GraftError } from '../../base/errors.ts'
import { f32, type F32Tensor, type Tensor } from '../../base/tensor.ts'
import type { ByteFolder, ByteSink } from '../../formats/byte-source.ts'
import { openSafetensors } from '../../formats/safetensors/reader.ts'
import { encodeSafetensors } from '../../formats/safetensors/writer.ts'
import { computeChecksum, type Fingerprint } from '../fingerprint.ts'
import type { RunState } from './run-state.ts'

export interface Checkpoint {
  readonly state: RunState
  readonly fingerprint: Fingerprint
}

export const checkpointFiles = ['checkpoint-a.safetensors', 'checkpoint-b.safetensors'] as const
const version = 1

const toTensor = (rows: readonly (readonly number[])[], width: number): Tensor => ({
  dtype: 'f64',
  shape: [rows.length, width],
  data: Float64Array.from(rows.flat()),
})

/**
 * Writes the state into the next of the two files; the other one is not changed. Returns the file's
 * name.
 */
export async function writeCheckpoint(
  { state, fingerprint }: Checkpoint,
  sink: ByteSink,
  turn: number,
): Promise<string> {
  const tensors = new Map<string, Tensor>()
  for (const [key, tensor] of state.parameters) tensors.set(`parameter:${key}`, tensor)
  for (const [key, slots] of state.optimizer)
    for (const [slot, tensor] of Object.entries(slots)) tensors.set(`${slot}:${key}`, tensor)
  for (const [key, tensor] of state.best?.tensors ?? []) tensors.set(`best:${key}`, tensor)
  const steps = state.steps.map(({ step, loss, learningRate, gradientNorm }) => [
    step,
    loss,
    learningRate,
    gradientNorm,
  ])
  tensors.set('history:steps', toTensor(steps, 4))
  tensors.set(
    'history:validations',
    toTensor(
      state.validations.map(({ step, loss }) => [step, loss]),
      2,
    ),
  )
  const best = state.best && { step: state.best.step, loss: state.best.loss }
  const run = { version, step: state.step, best, fingerprint, checksum: computeChecksum(tensors) }
  const path = checkpointFiles[turn % checkpointFiles.length]!
  await sink.write(path, encodeSafetensors(tensors, { 'graft-checkpoint': JSON.stringify(run) }))
  return path
}

const toRows = ({ data, shape }: Tensor): number[][] => {
  const width = shape[1]!
  const values = Array.from(data as Float64Array)
  return Array.from({ length: shape[0]! }, (_, i) => values.slice(i * width, (i + 1) * width))
}

/** Sorts a file's tensors back into the state they were written from. */
function restoreState(
  tensors: ReadonlyMap<string, Tensor>,
  step: number,
  best: { step: number; loss: number } | undefined,
): RunState {
  const parameters = new Map<string, F32Tensor>()
  const bestTensors = new Map<string, F32Tensor>()
  const optimizer: RunState['optimizer'] = new Map()
  for (const [name, tensor] of tensors) {
    const colon = name.indexOf(':')
    const part = name.slice(0, colon)
    const key = name.slice(colon + 1)
    if (part === 'history') continue
    const own = f32(tensor.shape, (tensor.data as Float32Array).slice())
    if (part === 'parameter') parameters.set(key, own)
    else if (part === 'best') bestTensors.set(key, own)
    else optimizer.set(key, { ...optimizer.get(key), [part]: own })
  }
  return {
    step,
    parameters,
    optimizer,
    ...(best ? { best: { ...best, tensors: bestTensors } } : {}),
    steps: toRows(tensors.get('history:steps')!).map(([at, loss, learningRate, gradientNorm]) => ({
      step: at!,
      loss: loss!,
      learningRate: learningRate!,
      gradientNorm: gradientNorm!,
    })),
    validations: toRows(tensors.get('history:validations')!).map(([at, loss]) => ({
      step: at!,
      loss: loss!,
    })),
  }
}

/** The run in a checkpoint's metadata. */
interface RunDescription {
  readonly version: number
  readonly step: number
  readonly best?: { step: number; loss: number }
  readonly fingerprint: Fingerprint
  readonly checksum: number
}

async function readCheckpoint(folder: ByteFolder, path: string): Promise<Checkpoint | undefined> {
  const source = await folder.open(path)
  if (!source) return undefined
  try {
    const store = await openSafetensors(source)
    const text = store.metadata['graft-checkpoint']
    if (typeof text !== 'string')
      throw new FormatError(`${source.name}: is not a checkpoint of a training run.`)
    const run = JSON.parse(text) as RunDescription
    if (run.version !== version)
      throw new FormatError(`${source.name}: is of version ${run.version}, expected ${version}.`)
    const tensors = new Map<string, Tensor>()
    for (const name of store.tensors.keys()) tensors.set(name, await store.read(name))
    if (computeChecksum(tensors) !== run.checksum)
      throw new FormatError(
        `${source.name}: its bytes differ from those that were written (wrong checksum).`,
      )
    return { state: restoreState(tensors, run.step, run.best), fingerprint: run.fingerprint }
  } finally {
    await source.close?.()
  }
}

/**
 * The date that the run of a folder's newest checkpoint shows in chat templates. Undefined if there
 * is no such file; `findCheckpoint` reports damaged ones.
 */
export async function findCheckpointDate(folder: ByteFolder): Promise<Date | undefined> {
  let newest: { step: number; date: unknown } | undefined
  for (const path of checkpointFiles) {
    const source = await folder.open(path)
    if (!source) continue
    try {
      const { metadata } = await openSafetensors(source)
      const run = JSON.parse(String(metadata['graft-checkpoint'])) as RunDescription
      const { step } = run
      if (!newest || step > newest.step) newest = { step, date: run.fingerprint['date'] }
    } catch (error) {
      if (!(error instanceof FormatError) && !(error instanceof SyntaxError)) throw error
    } finally {
      await source.close?.()
    }
  }
  return typeof newest?.date === 'string' ? new Date(newest.date) : undefined
}

export interface FoundCheckpoint {
  readonly checkpoint?: Checkpoint
  /** The number of the next file to write: never the one that was read. */
  readonly nextSlot: number
  /** Files that were refused, each with its reason. */
  readonly refused: readonly string[]
}

/**
 * The newest valid checkpoint of a folder. Throws FormatError if there are checkpoints and none is
 * valid, because starting again is the user's decision.
 */
export async function findCheckpoint(folder: ByteFolder): Promise<FoundCheckpoint> {
  const refused: string[] = []
  let newest: { checkpoint: Checkpoint; turn: number } | undefined
  for (const [turn, path] of checkpointFiles.entries()) {
    try {
      const checkpoint = await readCheckpoint(folder, path)
      if (checkpoint && (!newest || checkpoint.state.step > newest.checkpoint.state.step))
        newest = { checkpoint, turn }
    } catch (error) {
      if (!(error instanceof FormatError) && !(error instanceof SyntaxError)) throw error
      refused.push(
        GraftError.isInstance(error) ? error.message : `${path}: its description is not JSON.`,
      )
    }
  }
  if (!newest && refused.length > 0)
    throw new FormatError(
      `No valid checkpoint in ${folder.name}; remove the folder to start again:\n  ${refused.join('\n  ')}`,
    )
  return {
    ...(newest ? { checkpoint: newest.checkpoint } : {}),
    nextSlot: newest ? newest.turn + 1 : 0,
    refused,
  }
}
