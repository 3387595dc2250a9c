// A run over vectors before its first step: its recipe, its rows and its state. Everything that can
// be wrong is reported here.

import { type Adapter, checkAdapter, checkFinite } from '../../adapters/adapter.ts'
import { toAdapterMetadata } from '../../adapters/adapter-config.ts'
import { completeRole } from '../../adapters/roles.ts'
import type { ModelGraph } from '../../graph/model-graph.ts'
import { type AdapterKindName, toKindName } from '../../adapters/kinds/kind-table.ts'
import { createStandalone } from '../../adapters/vectors/create.ts'
import { createStandaloneModel, type StandaloneModel } from '../../adapters/vectors/model.ts'
import { DataError } from '../../base/errors.ts'
import { random } from '../../base/random.ts'
import { referenceBackend } from '../../compute/reference.ts'
import { dataHashKey } from '../data/content-hash.ts'
import { countExamples, type EmbeddingDataset } from '../datasets/adapter-dataset.ts'
import { hashDataset } from '../datasets/dataset-files.ts'
import { splitDataset } from '../datasets/split-dataset.ts'
import { listLoraLayers } from '../ewc/lora-layers.ts'
import { computeEwcFingerprint } from '../ewc/options.ts'
import { createEwcPenalty } from '../ewc/penalty.ts'
import type { Penalty } from '../optimizers/penalty.ts'
import {
  checkFingerprint,
  computeChecksum,
  type Fingerprint,
  flattenSettings,
} from '../fingerprint.ts'
import { resolveValidation } from '../options/train-data.ts'
import { findCheckpoint, type FoundCheckpoint } from '../run/checkpoint.ts'
import { checkPatience } from '../run/early-stopping.ts'
import {
  createInitialState,
  createStepRule,
  listTrainedParameters,
  type RunState,
} from '../run/run-state.ts'
import type { StepRule } from '../optimizers/step-rule.ts'
import type { FreshAdapter } from '../options/options.ts'
import type { StandaloneOptions } from './options.ts'
import type { StandaloneProgram } from './program.ts'
import { createStandaloneProgram } from './program-table.ts'
import { resolveStandaloneRecipe, type StandaloneRecipe } from './recipe.ts'

/** The examples of a run, and how many steps go through them. */
export interface VectorRows {
  readonly data: EmbeddingDataset
  /** Numbers of the examples with a quality above 0. */
  readonly used: readonly number[]
  readonly validation: EmbeddingDataset | undefined
  /** Steps between validations. */
  readonly validationSteps: number
  readonly steps: number
  readonly stepsPerEpoch: number
}

export interface StandaloneRun {
  readonly recipe: StandaloneRecipe
  readonly rows: VectorRows
  readonly adapter: Adapter
  readonly trainable: readonly string[]
  readonly state: RunState
  readonly rule: StepRule
  readonly program: StandaloneProgram
  /** Empty for a run without checkpoints. */
  readonly fingerprint: Fingerprint
  /** Which of the checkpoint's files is written next. */
  readonly nextSlot: number
  /** Checkpoints that were found and refused, each with its reason. */
  readonly refused: readonly string[]
}

const listUsedExamples = ({ quality }: EmbeddingDataset): number[] =>
  Array.from(quality.keys()).filter((i) => quality[i]! > 0)

function checkData(data: EmbeddingDataset, validation: EmbeddingDataset | undefined): void {
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

const usualShare = 0.2 // 80 / 20

/** The training and validation examples; a share is drawn by the run's seed. */
function openExamples({ data, validation }: StandaloneOptions, seed: number) {
  const held = resolveValidation(validation === true ? usualShare : validation)
  if (held === undefined) return { data, validation: undefined, everySteps: undefined }
  if (typeof held.data !== 'number')
    return { data, validation: held.data, everySteps: held.everySteps }
  const parts = splitDataset(data, { seed, share: held.data })
  return { data: parts.train, validation: parts.validation, everySteps: held.everySteps }
}

function prepareRows(options: StandaloneOptions, { settings }: StandaloneRecipe): VectorRows {
  const { data, validation, everySteps } = openExamples(options, settings.seed)
  checkData(data, validation)
  const used = listUsedExamples(data)
  const stepsPerEpoch = Math.ceil(used.length / settings.rows)
  const steps = settings.steps ?? settings.epochs * stepsPerEpoch
  const validationSteps = everySteps ?? stepsPerEpoch
  checkPatience(settings, validation ? Math.ceil(steps / validationSteps) : 0)
  return { data, used, validation, validationSteps, steps, stepsPerEpoch }
}

function createFreshAdapter(
  fresh: FreshAdapter,
  graph: ModelGraph,
  width: number,
  seed: number,
): Adapter {
  const kind = toKindName(fresh.kind) as AdapterKindName
  if (fresh.role === undefined) return createStandalone(kind, fresh.config ?? {}, { width, seed })
  const role = completeRole(fresh.role, graph, {
    kind,
    ...(fresh.config && { config: fresh.config }),
  })
  const adapter = createStandalone(kind, role.config, { width, seed })
  return { ...adapter, metadata: toAdapterMetadata(role) }
}

async function prepareAdapter(
  { adapter, data }: StandaloneOptions,
  { graph, width }: StandaloneModel,
  seed: number,
): Promise<Adapter> {
  const start = 'tensors' in adapter ? adapter : createFreshAdapter(adapter, graph, width, seed)
  checkAdapter(start, graph)
  checkFinite(start)
  return { ...start, metadata: { ...start.metadata, [dataHashKey]: await hashDataset(data) } }
}

function createPenalty(
  { ewc }: StandaloneOptions,
  adapter: Adapter,
  { graph, width }: StandaloneModel,
): Penalty | undefined {
  if (!ewc) return undefined
  const { state, lambda = 10 / width } = ewc
  return createEwcPenalty(state, lambda, listLoraLayers(graph, adapter))
}

/** Everything that determines a run. Only runs with checkpoints need it. */
async function computeFingerprint(
  { ewc }: StandaloneOptions,
  { settings, optimizerSettings, scheduleSettings }: StandaloneRecipe,
  { data, validation, validationSteps }: VectorRows,
  { kind, config: { peft: _peft, ...config } }: Adapter,
  start: RunState,
): Promise<Fingerprint> {
  return {
    ...flattenSettings(settings),
    optimizerOptions: JSON.stringify(optimizerSettings),
    scheduleOptions: JSON.stringify(scheduleSettings),
    adapter: JSON.stringify([kind, config]),
    adapterStart: computeChecksum(start.parameters),
    data: await hashDataset(data),
    ...(validation && { validation: await hashDataset(validation), validationSteps }),
    ...computeEwcFingerprint(ewc && { lambda: ewc.lambda ?? 10 / data.width, state: ewc.state }),
  }
}

/** The newest checkpoint, where there is one. Throws MismatchError when it is of another run. */
async function findMatchingCheckpoint(
  { checkpoint }: StandaloneOptions,
  fingerprint: Fingerprint,
): Promise<FoundCheckpoint> {
  if (!checkpoint?.source) return { nextSlot: 0, refused: [] }
  const found = await findCheckpoint(checkpoint.source)
  if (found.checkpoint) checkFingerprint(found.checkpoint.fingerprint, fingerprint)
  return found
}

/**
 * Throws OptionError, DataError, MismatchError (an adapter of another width, a checkpoint of
 * another run), FormatError (no valid checkpoint), NumericError before anything is computed.
 */
export async function prepareStandalone(options: StandaloneOptions): Promise<StandaloneRun> {
  const recipe = resolveStandaloneRecipe(options)
  const rows = prepareRows(options, recipe)
  const { settings } = recipe
  const { backend = referenceBackend } = options
  const model = createStandaloneModel(rows.data.width)
  const adapter = await prepareAdapter(options, model, settings.seed)
  const parameters = listTrainedParameters(model.graph, adapter)
  const penalty = createPenalty(options, adapter, model)
  const rule = createStepRule(recipe, settings, parameters, penalty)
  const fresh = createInitialState(adapter, parameters, rule)
  const fingerprint = options.checkpoint
    ? await computeFingerprint(options, recipe, rows, adapter, fresh)
    : {}
  const { checkpoint, nextSlot, refused } = await findMatchingCheckpoint(options, fingerprint)
  return {
    recipe,
    rows,
    adapter,
    trainable: parameters.trainable,
    rule,
    state: checkpoint?.state ?? fresh,
    fingerprint,
    nextSlot,
    refused,
    program: await createStandaloneProgram({ model, adapter, backend }),
  }
}

/**
 * Numbers of the examples of a step, counted from 1: each epoch's order is drawn from the seed and
 * the epoch alone.
 */
export function createExampleOrder({
  rows: { used, stepsPerEpoch },
  recipe: { settings },
}: StandaloneRun): (step: number) => readonly number[] {
  let known = -1
  let order = used
  return (step) => {
    const epoch = Math.floor((step - 1) / stepsPerEpoch)
    if (epoch !== known) {
      known = epoch
      // golden ratio: the seeds of epochs are far apart
      order = random(settings.seed ^ Math.imul(epoch + 1, 0x9e3779b9)).shuffle(used)
    }
    const start = ((step - 1) % stepsPerEpoch) * settings.rows
    return order.slice(start, start + settings.rows)
  }
}
