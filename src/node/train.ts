// Training from files into a folder: data and base by path, adapter, checkpoints, history and loss
// curve written where `out` says.

import { rm, stat } from 'node:fs/promises'
import { join } from 'node:path'
import type { Adapter } from '../adapters/adapter.ts'
import { OptionError } from '../base/errors.ts'
import type { ByteSink } from '../formats/byte-source.ts'
import type { TrainEvent } from '../train/events.ts'
import type { EwcOptions } from '../train/ewc/options.ts'
import { ewcFile, loadEwcState, requireEwcState, saveEwcState } from '../train/ewc/state.ts'
import type { History } from '../train/history.ts'
import { drawLossCurve } from '../train/run/loss-curve.ts'
import type { TrainOptions } from '../train/options/options.ts'
import { train as run } from '../train/run/train.ts'
import { loadAdapter, saveAdapter } from './adapters.ts'
import { openAuxiliaryModels, type TeacherFiles } from './auxiliary-models.ts'
import { getBaseName } from './models/base-name.ts'
import { type DataInput, openData, splitData } from './data.ts'
import { writeExpertMetadata } from './graft-json.ts'
import { createFileSink } from './files/file-sink.ts'
import { openDirectory } from './files/folder.ts'
import { type LoadedModel, loadModel } from './model.ts'

export interface EwcFilesOptions extends Omit<EwcOptions, 'state'> {
  /**
   * A folder with what earlier tasks left (ewc.safetensors); the folder of `adapter` unless given.
   */
  readonly from?: string | undefined
}

type InFiles =
  'model' | 'data' | 'validation' | 'checkpoint' | 'adapter' | 'ewc' | 'teacher' | 'reference'

export interface TrainFilesOptions extends Omit<TrainOptions, InFiles> {
  /** A model, or what `loadModel` takes. */
  readonly model: string | LoadedModel
  /**
   * A folder or adapter to train on, or the kind and options of a fresh one. Default: LoRA on all
   * linear layers.
   */
  readonly adapter?: string | TrainOptions['adapter']
  /**
   * Protects what earlier tasks need; what this one needs goes into `out` beside the adapter
   * (ewc.safetensors).
   */
  readonly ewc?: EwcFilesOptions | undefined
  /** What the loss 'distillation' imitates; see companions.ts. */
  readonly teacher?: TeacherFiles | undefined
  /** A folder or adapter that losses over pairs compare with, in place of the bare base. */
  readonly reference?: string | Adapter | undefined
  readonly data: DataInput
  /** Rows of their own, or the share of `data` that is held back: 0.1. */
  readonly validation?: DataInput | number | undefined
  /** Steps between validations; at the end of each epoch unless given. */
  readonly validateEverySteps?: number | undefined
  /** Where the adapter goes; nothing is written without it. */
  readonly out?: string | undefined
  /**
   * Go on from the checkpoint in `out`, to the very weights that an uninterrupted run ends with.
   */
  readonly resume?: boolean | undefined
  /** Replace what an earlier run left in `out`. */
  readonly overwrite?: boolean | undefined
  readonly saveEverySteps?: number | undefined
}

const checkpointFolder = 'checkpoints'
/** About twice a minute on small models; a checkpoint holds three times the adapter. */
const defaultSaveSteps = 25

/**
 * Trains as `train` of graftlm does, from paths. In `out`: adapter_config.json and
 * adapter_model.safetensors (the best adapter, as PEFT saves it), loss.svg, history.jsonl,
 * graft.json, and checkpoints/ to go on from. Throws OptionError where `out` is in use, and what
 * training throws.
 */
export async function* train(options: TrainFilesOptions): AsyncGenerator<TrainEvent, void, void> {
  const {
    model: named,
    data,
    validation,
    validateEverySteps,
    out,
    resume,
    overwrite: _,
    saveEverySteps,
    adapter,
    ewc,
    teacher,
    reference,
    ...rest
  } = options
  if (out !== undefined) await checkOutFolder(out, options)
  const protection =
    ewc && (await resolveEwcOptions(ewc, typeof adapter === 'string' ? adapter : undefined))
  const parts = await openDataParts(data, validation, rest.seed ?? 0)
  const companions = await openAuxiliaryModels(teacher, reference)
  const model =
    typeof named === 'string'
      ? await openOrCleanUp(() => loadModel(named), companions.close)
      : named
  try {
    const events = run({
      ...rest,
      model: { ...model, base: { ...model.base, name: getBaseName(model.source) } }, // what the adapter's config will call its base
      data: parts.data,
      ...(protection && { ewc: protection }),
      ...companions.options,
      adapter:
        typeof adapter === 'string'
          ? await loadAdapter(adapter)
          : (adapter ?? { kind: 'lora', config: { targets: 'all-linear' } }),
      ...(parts.validation && {
        validation: {
          data: parts.validation,
          ...(validateEverySteps !== undefined && { everySteps: validateEverySteps }),
        },
      }),
      ...(out !== undefined && {
        checkpoint: await openCheckpoint(out, saveEverySteps ?? defaultSaveSteps, resume === true),
      }),
    })
    for await (const event of events) {
      // Everything that can be wrong with data and options is known now: bad input has left no
      // trace, and a folder that cannot be written to is found out before minutes of training.
      if (event.type === 'data-ready' && out !== undefined)
        await prepareOutFolder(out, model.source, options)
      if (event.type === 'train-end' && out !== undefined) await writeResults(event, out)
      yield event
    }
  } finally {
    await companions.close()
    if (typeof named === 'string') await model.dispose()
  }
}

/** The result; where there is none, what was opened before is closed. */
async function openOrCleanUp<Result>(
  open: () => Promise<Result>,
  close: () => Promise<void>,
): Promise<Result> {
  try {
    return await open()
  } catch (error) {
    await close()
    throw error
  }
}

/**
 * What earlier tasks left: in the folder that is named, where it must be, or beside the adapter
 * that is trained on.
 */
export async function resolveEwcOptions(
  { from, ...rest }: EwcFilesOptions,
  adapter: string | undefined,
): Promise<EwcOptions> {
  const folder = from ?? adapter
  if (folder === undefined) return rest
  const state = await (from === undefined ? loadEwcState : requireEwcState)(
    await openDirectory(folder),
  )
  return { ...rest, ...(state && { state }) }
}

/** Rows to train on, and those that are held back. */
export async function openDataParts(
  data: DataInput,
  validation: TrainFilesOptions['validation'],
  seed: number,
) {
  const opened = await openData(data)
  if (validation === undefined) return { data: opened, validation: undefined }
  if (typeof validation !== 'number')
    return { data: opened, validation: await openData(validation) }
  const { train: rest, validation: held } = splitData(opened, validation, seed)
  return { data: rest, validation: held }
}

const exists = async (path: string): Promise<boolean> =>
  (await stat(path).catch(() => undefined)) !== undefined

/**
 * What an earlier run left is never replaced without being asked: neither an adapter nor
 * checkpoints that could be gone on from.
 */
export async function checkOutFolder(
  out: string,
  { resume, overwrite }: Pick<TrainFilesOptions, 'resume' | 'overwrite'>,
): Promise<void> {
  const [begun, hasAdapter, hasCheckpoints] = await Promise.all(
    ['graft.json', 'adapter_config.json', checkpointFolder].map((name) => exists(join(out, name))),
  )
  // A run that was killed before its first checkpoint is begun anew: that is where it stood.
  if (resume && !begun)
    throw new OptionError(
      `${out}: no run was begun here to go on from. Leave out resume, or name the folder of the earlier run.`,
    )
  if (resume || overwrite || !(hasAdapter || hasCheckpoints)) return
  const found = hasAdapter ? 'an adapter' : 'the checkpoints of a run that did not end'
  throw new OptionError(
    `${out}: holds ${found} already. Choose another folder, go on from its checkpoint (resume), or replace it (overwrite).`,
  )
}

/** Writes the notes, and removes what an earlier run left unless it is gone on from. */
async function prepareOutFolder(
  out: string,
  source: string,
  { resume, system }: TrainFilesOptions,
): Promise<void> {
  const sink = createFileSink(out)
  await writeExpertMetadata({ base: source, ...(system === undefined ? {} : { system }) }, sink)
  if (resume) return
  const stale = [
    checkpointFolder,
    'adapter_config.json',
    'adapter_model.safetensors',
    ewcFile,
    'loss.svg',
    'history.jsonl',
  ]
  await Promise.all(stale.map((name) => rm(join(out, name), { recursive: true, force: true })))
}

async function openCheckpoint(
  out: string,
  everySteps: number,
  resume: boolean,
): Promise<NonNullable<TrainOptions['checkpoint']>> {
  const folder = join(out, checkpointFolder)
  const source = resume && (await exists(folder)) ? await openDirectory(folder) : undefined
  return { sink: createFileSink(folder), everySteps, ...(source && { source }) }
}

async function writeResults(
  { history, reason, best, ewc }: Extract<TrainEvent, { type: 'train-end' }>,
  out: string,
): Promise<void> {
  const sink = createFileSink(out)
  await writeHistory(history, sink)
  if (ewc) await saveEwcState(ewc, sink)
  if (reason !== 'stopped') await saveAdapter(best.adapter, sink)
}

/**
 * One line for each step and validation, in the order in which they happened. Keys are named, so
 * that a resumed run writes the same bytes.
 */
async function writeHistory(history: History, sink: ByteSink): Promise<void> {
  const rows = [
    ...history.steps.map(({ step, loss, learningRate, gradientNorm }) => ({
      type: 'step',
      step,
      loss,
      learningRate,
      gradientNorm,
    })),
    ...history.validations.map(({ step, loss }) => ({ type: 'validation', step, loss })),
  ].sort((a, b) => a.step - b.step)
  const encode = (text: string): Uint8Array[] => [new TextEncoder().encode(text)]
  await sink.write('history.jsonl', encode(rows.map((row) => `${JSON.stringify(row)}\n`).join('')))
  await sink.write('loss.svg', encode(drawLossCurve(history)))
}
