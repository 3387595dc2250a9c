// Everything a run needs before its first step: encoded data, the order of batches, the adapter,
// and the state it starts or goes on from. All that can be wrong is said here, before anything is
// trained.

import {
  type Adapter,
  baseHashKey,
  checkAdapter,
  listParameterSpecs,
  listVirtualIds,
} from '../../adapters/adapter.ts'
import { initializeAdapter } from '../../adapters/create-adapter.ts'
import { getKind } from '../../adapters/kinds/kind-table.ts'
import { DataError, OptionError } from '../../base/errors.ts'
import { f32, type F32Tensor, sizeOf } from '../../base/tensor.ts'
import { toFloat32 } from '../../formats/convert.ts'
import { type BaseWeight, isFrozen, thaw } from '../../graph/frozen/frozen-form-table.ts'
import type { ModelConfig } from '../../graph/model-config.ts'
import { checkInvocation, limitSharedPrefix } from '../batches/activation.ts'
import { findCheckpoint, type FoundCheckpoint, type RunState } from './checkpoint.ts'
import { checkFingerprint, computeChecksum, type Fingerprint } from '../fingerprint.ts'
import {
  checkAuxiliaryModel,
  computeAuxiliaryFingerprint,
  type RunData,
  getGroupSize,
} from '../objective/auxiliary-model.ts'
import { hashSequences, dataHashKey } from '../data/content-hash.ts'
import { encodeData, type EncodedData, type EncodedSequence } from '../data/encode.ts'
import { createDataError, type RawDataset } from '../data/jsonl.ts'
import type { LossBounds } from './divergence.ts'
import { checkPatience } from './early-stopping.ts'
import type { DataCounts, TrainEvent } from '../events.ts'
import { completeEwc, computeEwcFingerprint } from '../ewc/options.ts'
import { createEwcPenalty } from '../ewc/penalty.ts'
import { listLoraLayers } from '../ewc/lora-layers.ts'
import { checkData, createObjective, type Objective } from '../objective/objective.ts'
import { getOptimizer } from '../optimizers/optimizer-table.ts'
import {
  completeSettings,
  resolveLoss,
  resolveOptimizerSettings,
  resolveSchedule,
  type TrainOptions,
  type TrainSettings,
} from '../options/options.ts'
import {
  type BatchPlan,
  computeFillRate,
  planEpoch,
  countSharedPrefix,
} from '../batches/packing.ts'
import type { Penalty } from '../optimizers/penalty.ts'
import { planRun, type RunPlan } from './batch-order.ts'
import type { StepRule } from './step.ts'

export interface PreparedRun {
  readonly settings: TrainSettings
  readonly data: RunData
  readonly plan: RunPlan
  readonly validation?: RunData & { readonly batches: readonly BatchPlan[] }
  /** Kind and configuration count; the tensors that are trained are in `state`. */
  readonly adapter: Adapter
  /** PEFT keys that are trained. */
  readonly trainable: readonly string[]
  readonly weights: ReadonlyMap<string, BaseWeight>
  readonly objective: Objective
  /** A loss outside is the run's end. */
  readonly lossBounds: LossBounds
  readonly rule: StepRule
  readonly state: RunState
  readonly fingerprint: Fingerprint
  readonly nextSlot: number
  readonly ready: Extract<TrainEvent, { type: 'data-ready' }>
}

/**
 * Rows hold ids the model has, and weights that are weights. Throws DataError that names every row
 * which is not so.
 */
function checkRows({ name, rows }: EncodedData, vocabularySize: number): void {
  if (rows.length === 0) throw new DataError(`${name}: holds no rows.`)
  const problems = rows.flatMap(({ ids, weights }, row) => {
    const strange = ids.find((id) => id < 0 || id >= vocabularySize)
    if (strange !== undefined)
      return [`row ${row + 1}: token ${strange} is outside the vocabulary of ${vocabularySize}`]
    if (weights.length !== ids.length)
      return [`row ${row + 1}: has ${ids.length} tokens and ${weights.length} weights`]
    const bad = weights.find((weight) => !(weight >= 0 && weight < Infinity))
    return bad === undefined ? [] : [`row ${row + 1}: a weight is ${bad}, expected a number from 0`]
  })
  if (problems.length > 0)
    throw createDataError(name, 'holds rows that this model cannot learn from', problems)
}

function toEncodedData(
  data: RawDataset | EncodedData,
  { model, date }: TrainOptions,
  { maxTokens, system }: TrainSettings,
): EncodedData {
  if ('examples' in data) {
    checkRows(data, model.base.graph.config.vocabularySize)
    return data
  }
  const { tokenizer, chatTemplate, name, graph } = model.base
  if (!tokenizer)
    throw new OptionError(
      `Model "${name}" has no tokenizer: give encoded data, or a model with tokenizer.json.`,
    )
  const made = encodeData(data, {
    tokenizer,
    maxTokens,
    ...(chatTemplate === undefined ? {} : { chatTemplate }),
    ...(system === undefined ? {} : { system }),
    ...(date ? { now: date } : {}),
  })
  // a tokenizer may know added tokens that the model has no row for
  checkRows(made, graph.config.vocabularySize)
  return made
}

function countData({ examples, rows, cut, dropped }: EncodedData): DataCounts {
  const tokens = rows.reduce((sum, { ids }) => sum + ids.length, 0)
  const scored = rows.reduce(
    (sum, { weights }) => sum + weights.filter((weight) => weight > 0).length,
    0,
  )
  return { examples, rows: rows.length, cut, dropped, tokens, scored }
}

/**
 * What the adapter asks of rows: virtual tokens that they begin with, invocation tokens that it
 * acts behind.
 */
function resolveRowNeeds({ adapter }: TrainOptions): RowNeeds {
  const { kind, config } =
    'tensors' in adapter
      ? adapter
      : { kind: adapter.kind, config: getKind(adapter.kind).complete(adapter.config) }
  return { virtual: listVirtualIds({ kind, config }), invocation: config.invocationTokens }
}

interface RowNeeds {
  readonly virtual: readonly number[]
  readonly invocation: readonly number[] | undefined
}

/**
 * A row with virtual tokens before it; they are read, not learned. All rows share them, so packing
 * holds them once a line.
 */
export const withVirtualTokens = (
  { ids, weights }: EncodedSequence,
  virtual: readonly number[],
): EncodedSequence => ({
  ids: Int32Array.of(...virtual, ...ids),
  weights: Float32Array.of(...virtual.map(() => 0), ...weights),
})

/**
 * Whether a line may begin with tokens shared by its rows: a sliding window counts places, and
 * would lose sight of them.
 */
function prepareRunData(
  encodedRows: EncodedData,
  { virtual, invocation }: RowNeeds,
  { packing, batch }: TrainSettings,
  { layers }: ModelConfig,
): RunData {
  const rows =
    virtual.length > 0
      ? encodedRows.rows.map((row) => withVirtualTokens(row, virtual))
      : encodedRows.rows
  const window = Math.min(...layers.map(({ slidingWindow = Infinity }) => slidingWindow))
  const shared = packing && window >= batch.tokens ? countSharedPrefix(rows) : 0
  return { rows, shared: invocation ? limitSharedPrefix(rows, shared, invocation) : shared }
}

const toPackingOptions = (settings: TrainSettings, { shared }: RunData) => {
  const { batch, packing, seed } = settings
  return { ...batch, packing, seed, shared, together: getGroupSize(settings) }
}

function resolveAdapter(
  { adapter, model }: TrainOptions,
  weights: ReadonlyMap<string, BaseWeight>,
  seed: number,
): Adapter {
  const { graph, name } = model.base
  if ('tensors' in adapter) {
    checkAdapter(adapter, graph)
    return adapter
  }
  const weightOf = (wanted: string): F32Tensor => thaw(weights.get(wanted)!)
  return initializeAdapter(adapter.kind, adapter.config, graph, { seed, baseModel: name, weightOf })
}

/** An adapter says which examples it learned from, where they bear a hash. */
const withDataHash = (adapter: Adapter, data: TrainOptions['data']): Adapter =>
  'contentHash' in data && data.contentHash !== undefined
    ? { ...adapter, metadata: { ...adapter.metadata, [dataHashKey]: data.contentHash } }
    : adapter

/** Throws OptionError for a model that gives f32 where quantised weights were asked for. */
async function loadBaseWeights(
  { model }: TrainOptions,
  { quantization }: TrainSettings,
): Promise<ReadonlyMap<string, BaseWeight>> {
  const weights = await model.weights(quantization && { quantization })
  if (quantization && ![...weights.values()].some(isFrozen))
    throw new OptionError(
      `Training options: quantization is "${quantization}", but no matrix of "${model.base.name}" came quantised.`,
    )
  return weights
}

/** The metadata's key for the quantisation of the base that an adapter learned on. */
export const quantizationKey = 'graft_base_quantization'

/** An adapter says on which form of its base it learned, for who wonders about a difference. */
const withQuantization = (adapter: Adapter, { quantization }: TrainSettings): Adapter =>
  quantization
    ? { ...adapter, metadata: { ...adapter.metadata, [quantizationKey]: quantization } }
    : adapter

/**
 * An adapter says by its hash which base it learned on, where that was worked out: names can be
 * shared by different weights.
 */
const withBaseHash = (adapter: Adapter, hash: Fingerprint[string] | undefined): Adapter =>
  typeof hash === 'string'
    ? { ...adapter, metadata: { ...adapter.metadata, [baseHashKey]: hash } }
    : adapter

function createStepRule(settings: TrainSettings, penalty: Penalty | undefined): StepRule {
  const isB = /\.lora_(embedding_)?B(\.|$)/
  return {
    optimizer: getOptimizer(settings.optimizer),
    settings: resolveOptimizerSettings(settings),
    clip: settings.clip,
    ...(penalty && { penalty }),
    rateOf: (key) => (isB.test(key) ? settings.loraPlusRatio : 1),
  }
}

/**
 * Checked where there is nothing to protect yet, too: at the end there will be. Throws
 * UnsupportedError for adapters that EWC cannot protect.
 */
function createPenalty({ ewc, model }: TrainOptions, adapter: Adapter): Penalty | undefined {
  if (!ewc) return undefined
  const sites = listLoraLayers(model.base.graph, adapter)
  return ewc.state && createEwcPenalty(ewc.state, completeEwc(ewc).lambda, sites)
}

/**
 * The state before the first step: the adapter's numbers in arrays of the run's own, and zeros for
 * the optimiser.
 */
function createInitialState(
  adapter: Adapter,
  trainable: readonly string[],
  { optimizer, settings }: StepRule,
): RunState {
  const parameters = new Map(
    [...adapter.tensors].map(([key, tensor]) => [
      key,
      f32(tensor.shape, toFloat32(tensor).slice()),
    ]),
  )
  const slots = trainable.map((key) => {
    const shapes = optimizer.stateShapes(parameters.get(key)!.shape, settings)
    return [
      key,
      Object.fromEntries(Object.entries(shapes).map(([slot, shape]) => [slot, f32(shape)])),
    ] as const
  })
  return { step: 0, parameters, optimizer: new Map(slots), steps: [], validations: [] }
}

interface Parts {
  readonly options: TrainOptions
  readonly settings: TrainSettings
  readonly data: EncodedData
  readonly validation: EncodedData | undefined
  readonly adapter: Adapter
  readonly state: RunState
}

/**
 * Validations of a whole run: every so many steps or at the end of each epoch, and after the last
 * step.
 */
export const countValidations = (
  { steps, endsEpoch }: RunPlan,
  everySteps: number | undefined,
): number =>
  Array.from({ length: steps }, (_, i) => i + 1).filter(
    (step) =>
      step === steps || (everySteps === undefined ? endsEpoch(step) : step % everySteps === 0),
  ).length

const computeLossBounds = (
  settings: TrainSettings,
  { vocabularySize }: ModelConfig,
): LossBounds => {
  const chance = resolveLoss(settings).loss.chance?.(vocabularySize)
  return { factor: settings.divergenceFactor, ...(chance !== undefined && { chance }) }
}

/** All that decides how a run goes. Only runs with checkpoints need it: hashing takes a moment. */
async function computeFingerprint({
  options,
  settings,
  data,
  validation,
  adapter,
  state,
}: Parts): Promise<Fingerprint> {
  const complete = {
    ...settings,
    lossOptions: resolveLoss(settings).settings,
    optimizerOptions: resolveOptimizerSettings(settings),
    scheduleOptions: resolveSchedule(settings).settings,
  }
  const flat = Object.entries(complete).filter(
    ([name, value]) => value !== undefined && name !== 'checkpointing',
  )
  const { peft: _peft, ...config } = adapter.config
  return {
    ...Object.fromEntries(
      flat.map(([name, value]) => [
        name,
        typeof value === 'object' ? JSON.stringify(value) : value,
      ]),
    ),
    base: await options.model.base.identity(),
    adapter: JSON.stringify([adapter.kind, config]),
    adapterStart: computeChecksum(state.parameters),
    data: await hashSequences(data.rows),
    ...(await computeAuxiliaryFingerprint(options, settings)),
    ...computeEwcFingerprint(options.ewc),
    ...(validation
      ? {
          validation: await hashSequences(validation.rows),
          validationSteps: options.validation?.everySteps ?? 'epoch',
        }
      : {}),
  }
}

/**
 * Goes on from the newest checkpoint, where there is one. Throws MismatchError when it is of
 * another run.
 */
async function findMatchingCheckpoint(
  { checkpoint }: TrainOptions,
  fingerprint: Fingerprint,
): Promise<FoundCheckpoint> {
  if (!checkpoint?.source) return { nextSlot: 0, refused: [] }
  const found = await findCheckpoint(checkpoint.source)
  if (found.checkpoint) checkFingerprint(found.checkpoint.fingerprint, fingerprint)
  return found
}

/**
 * Prepares a run. Throws OptionError, DataError, MismatchError (an adapter or a checkpoint that
 * does not fit) or FormatError (no sound checkpoint) before anything is computed or written.
 */
export async function prepareRun(options: TrainOptions): Promise<PreparedRun> {
  const { graph } = options.model.base
  const settings = completeSettings(options, graph.config.maxPositions)
  const needs = resolveRowNeeds(options)
  const room = { ...settings, maxTokens: settings.maxTokens - needs.virtual.length }
  const encodedData = toEncodedData(options.data, options, room)
  const encodedValidation =
    options.validation && toEncodedData(options.validation.data, options, room)
  for (const one of [encodedData, ...(encodedValidation ? [encodedValidation] : [])])
    checkData(one, settings)
  checkAuxiliaryModel(options, settings)
  if (needs.invocation) checkInvocation(encodedData, needs.invocation)
  const data = prepareRunData(encodedData, needs, settings, graph.config)
  const plan = planRun(data.rows, { ...settings, ...toPackingOptions(settings, data) })
  checkPatience(
    settings,
    options.validation ? countValidations(plan, options.validation.everySteps) : 0,
  )
  const held = encodedValidation && prepareRunData(encodedValidation, needs, settings, graph.config)
  const validation = held && {
    ...held,
    batches: planEpoch(held.rows, { ...toPackingOptions(settings, held), epoch: 0 }),
  }
  const weights = await loadBaseWeights(options, settings)
  const adapter = withQuantization(
    withDataHash(resolveAdapter(options, weights, settings.seed), options.data),
    settings,
  )
  const trainable = [...listParameterSpecs(graph, adapter)]
    .filter(([, spec]) => spec.trainable)
    .map(([key]) => key)
  const rule = createStepRule(settings, createPenalty(options, adapter))
  const objective = createObjective({ options, settings, weights })
  const fresh = createInitialState(adapter, trainable, rule)
  const parts = {
    options,
    settings,
    data: encodedData,
    validation: encodedValidation,
    adapter,
    state: fresh,
  }
  const fingerprint = options.checkpoint ? await computeFingerprint(parts) : {}
  const placed = withBaseHash(adapter, fingerprint['base'])
  const { checkpoint, nextSlot, refused } = await findMatchingCheckpoint(options, fingerprint)
  const state = checkpoint?.state ?? fresh
  const ready: PreparedRun['ready'] = {
    type: 'data-ready',
    data: countData(encodedData),
    ...(encodedValidation ? { validation: countData(encodedValidation) } : {}),
    fill: computeFillRate(
      data.rows,
      planEpoch(data.rows, { ...toPackingOptions(settings, data), epoch: 0 }),
      data.shared,
    ),
    sharedTokens: data.shared,
    steps: plan.steps,
    learningRate: settings.learningRate,
    resumedAt: state.step,
    refusedCheckpoints: refused,
    ...(options.ewc && { protectedTasks: options.ewc.state?.tasks ?? 0 }),
    trainableParameters: trainable.reduce(
      (sum, key) => sum + sizeOf(state.parameters.get(key)!.shape),
      0,
    ),
  }
  return {
    settings,
    data,
    plan,
    ...(validation ? { validation } : {}),
    adapter: placed,
    trainable,
    weights,
    objective,
    lossBounds: computeLossBounds(settings, graph.config),
    rule,
    state,
    fingerprint,
    nextSlot,
    ready,
  }
}
