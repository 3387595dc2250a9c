// Everything a standalone run needs before its first step: the order of rows, the adapter, the
// state, the step's rule. All that can be wrong is said here.

import {
  type Adapter,
  checkAdapter,
  checkFinite,
  listParameterSpecs,
} from '../../adapters/adapter.ts'
import { createStandalone } from '../../adapters/vectors/create.ts'
import type { AdapterKindName } from '../../adapters/kinds/kind-table.ts'
import { type StandaloneModel, createStandaloneModel } from '../../adapters/vectors/model.ts'
import { DataError, OptionError } from '../../base/errors.ts'
import { random } from '../../base/random.ts'
import { f32 } from '../../base/tensor.ts'
import { referenceBackend } from '../../compute/reference.ts'
import type { Backend } from '../../compute/backend.ts'
import { toFloat32 } from '../../formats/convert.ts'
import type { RunState } from '../run/checkpoint.ts'
import { type EmbeddingDataset, countExamples } from '../datasets/adapter-dataset.ts'
import { dataHashKey } from '../data/content-hash.ts'
import { hashDataset } from '../datasets/dataset-files.ts'
import { checkPatience } from '../run/early-stopping.ts'
import { createEwcPenalty } from '../ewc/penalty.ts'
import { listLoraLayers } from '../ewc/lora-layers.ts'
import type { EwcState } from '../ewc/state.ts'
import { getOptimizer } from '../optimizers/optimizer-table.ts'
import type { Penalty } from '../optimizers/penalty.ts'
import type { StepRule } from '../run/step.ts'
import { type StandalonePreset, standalonePresets } from './presets.ts'
import type { StandaloneProgram } from './program.ts'
import { createStandaloneProgram } from './program-table.ts'
import { completeStandaloneSettings, type StandaloneSettings } from './settings.ts'

export interface StandaloneOptions extends Partial<StandaloneSettings> {
  /** An adapter to train on, or the kind and options of a fresh one. */
  readonly adapter:
    Adapter | { readonly kind: string; readonly config: Readonly<Record<string, unknown>> }
  readonly data: EmbeddingDataset
  /** Judged after each epoch. */
  readonly validation?: EmbeddingDataset
  /** Settings by name; what is given beside it counts before it. */
  readonly preset?: StandalonePreset
  /**
   * Holds on to earlier tasks (LoRA only): what consolidateStandalone gave, and how hard it pulls;
   * 10/D unless given.
   */
  readonly ewc?: { readonly state: EwcState; readonly lambda?: number }
  /** Runs kinds other than LoRA; the reference interpreter unless given. */
  readonly backend?: Backend
  /** Ends the run between two steps. */
  readonly signal?: AbortSignal
  /** Milliseconds, for speed and time left. */
  readonly now?: () => number
}

export interface StandaloneRun {
  readonly settings: StandaloneSettings
  readonly scheduleSettings: object
  readonly data: EmbeddingDataset
  /** Numbers of the rows that teach something. */
  readonly used: readonly number[]
  readonly validation: EmbeddingDataset | undefined
  readonly steps: number
  readonly stepsPerEpoch: number
  readonly adapter: Adapter
  readonly trainable: readonly string[]
  readonly state: RunState
  readonly rule: StepRule
  readonly program: StandaloneProgram
}

const listUsedExamples = ({ quality }: EmbeddingDataset): number[] =>
  Array.from(quality.keys()).filter((i) => quality[i]! > 0)

function checkData({ data, validation }: StandaloneOptions): void {
  if (countExamples(data) === 0 || listUsedExamples(data).length === 0)
    throw new DataError(`${data.name}: has no example with a quality above 0.`)
  if (!validation) return
  if (validation.width !== data.width)
    throw new DataError(
      `${validation.name}: its vectors have ${validation.width} numbers, those of ${data.name} ${data.width}.`,
    )
  if (listUsedExamples(validation).length === 0)
    throw new DataError(`${validation.name}: has no example with a quality above 0.`)
}

async function prepareAdapter(
  { adapter, data }: StandaloneOptions,
  { graph, width }: StandaloneModel,
  seed: number,
): Promise<Adapter> {
  const start =
    'tensors' in adapter
      ? adapter
      : createStandalone(adapter.kind as AdapterKindName, adapter.config, { width, seed })
  checkAdapter(start, graph)
  checkFinite(start)
  return { ...start, metadata: { ...start.metadata, [dataHashKey]: await hashDataset(data) } }
}

function resolveSettings({
  preset,
  adapter: _a,
  data: _d,
  validation: _v,
  backend: _b,
  ewc: _e,
  signal: _s,
  now: _n,
  ...given
}: StandaloneOptions) {
  if (preset !== undefined && !(preset in standalonePresets))
    throw new OptionError(
      `There is no preset "${preset}". There are: ${Object.keys(standalonePresets).join(', ')}.`,
    )
  return completeStandaloneSettings({ ...(preset && standalonePresets[preset]), ...given })
}

function createPenalty(
  { ewc }: StandaloneOptions,
  adapter: Adapter,
  { graph, width }: StandaloneModel,
): { penalty?: Penalty } {
  if (!ewc) return {}
  const { state, lambda = 10 / width } = ewc
  if (!(lambda >= 0 && lambda < Infinity))
    throw new OptionError(`EWC: lambda must be a number from 0, got ${lambda}.`)
  return { penalty: createEwcPenalty(state, lambda, listLoraLayers(graph, adapter)) }
}

/**
 * Throws OptionError, DataError, MismatchError (an adapter of another width), NumericError before
 * anything is computed.
 */
export async function prepareStandalone(options: StandaloneOptions): Promise<StandaloneRun> {
  const { data, validation, backend = referenceBackend } = options
  const { settings, optimizer, schedule } = resolveSettings(options)
  checkData(options)
  const used = listUsedExamples(data)
  const stepsPerEpoch = Math.ceil(used.length / settings.rows)
  const steps = settings.steps ?? settings.epochs * stepsPerEpoch
  checkPatience(
    settings as { patience?: number; minimumDelta: number },
    validation ? Math.ceil(steps / stepsPerEpoch) : 0,
  )
  const model = createStandaloneModel(data.width)
  const adapter = await prepareAdapter(options, model, settings.seed)
  const trainable = [...listParameterSpecs(model.graph, adapter)].flatMap(([key, spec]) =>
    spec.trainable ? [key] : [],
  )
  const row = getOptimizer(settings.optimizer)
  const parameters = new Map(
    [...adapter.tensors].map(([key, tensor]) => [
      key,
      f32(tensor.shape, toFloat32(tensor).slice()),
    ]),
  )
  const slots = trainable.map((key) => {
    const shapes = Object.entries(row.stateShapes(parameters.get(key)!.shape, optimizer))
    return [key, Object.fromEntries(shapes.map(([slot, shape]) => [slot, f32(shape)]))] as const
  })
  const rule: StepRule = {
    optimizer: row,
    settings: optimizer,
    clip: settings.clip,
    rateOf: (key) => (/\.lora_B\./.test(key) ? settings.loraPlusRatio : 1),
    ...createPenalty(options, adapter, model),
  }
  return {
    settings,
    scheduleSettings: schedule,
    data,
    used,
    validation,
    steps,
    stepsPerEpoch,
    adapter,
    trainable,
    rule,
    state: { step: 0, parameters, optimizer: new Map(slots), steps: [], validations: [] },
    program: await createStandaloneProgram({ model, adapter, backend }),
  }
}

/**
 * Numbers of the rows of a step, counted from 1: each epoch's order is drawn from the seed and the
 * epoch alone.
 */
export function createExampleOrder({
  used,
  stepsPerEpoch,
  settings,
}: StandaloneRun): (step: number) => readonly number[] {
  let known = -1
  let order = used
  return (step) => {
    const epoch = Math.floor((step - 1) / stepsPerEpoch)
    if (epoch !== known) {
      known = epoch
      order = random(settings.seed ^ Math.imul(epoch + 1, 0x9e3779b9)).shuffle(used)
    } // golden ratio
    const start = ((step - 1) % stepsPerEpoch) * settings.rows
    return order.slice(start, start + settings.rows)
  }
}
