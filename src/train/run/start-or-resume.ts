// The state of a run before its next step: the adapter, its parameters and the optimiser's slots,
// initial or from a checkpoint, and the rule by which a step changes them.

import { type Adapter, checkAdapter, dateKey } from '../../adapters/adapter.ts'
import { toAdapterMetadata } from '../../adapters/adapter-config.ts'
import { baseHashKey } from '../../adapters/base-copy.ts'
import { getExpertText } from '../../adapters/files/expert-text.ts'
import { initializeAdapter } from '../../adapters/create-adapter.ts'
import { toKindName } from '../../adapters/kinds/kind-table.ts'
import { completeRole } from '../../adapters/roles.ts'
import { OptionError } from '../../base/errors.ts'
import type { F32Tensor } from '../../base/tensor.ts'
import { needsDate } from '../../formats/text/chat-template.ts'
import { formatDay } from '../../formats/text/day.ts'
import { type BaseWeight, isFrozen, thaw } from '../../graph/quantized-base/quantize-weight.ts'
import { dataHashKey, hashSequences } from '../data/content-hash.ts'
import { listLoraLayers } from '../ewc/lora-layers.ts'
import { computeEwcFingerprint } from '../ewc/options.ts'
import { createEwcPenalty } from '../ewc/penalty.ts'
import {
  checkFingerprint,
  computeChecksum,
  type Fingerprint,
  flattenSettings,
} from '../fingerprint.ts'
import { computeAuxiliaryFingerprint } from '../objective/auxiliary-model.ts'
import { checkCopies, checkTaughtBase } from '../objective/other-base.ts'
import { defaultAdapter, type FreshAdapter, type TrainOptions } from '../options/options.ts'
import { toDescriptionMetadata } from '../options/description.ts'
import type { Recipe } from '../options/recipe.ts'
import type { Penalty } from '../optimizers/penalty.ts'
import { findCheckpoint, type FoundCheckpoint } from './checkpoint.ts'
import { hasFallenBack, switchToLora } from './dora-fallback.ts'
import {
  createInitialState,
  createStepRule,
  listTrainedParameters,
  type RunState,
} from './run-state.ts'
import type { PreparedRows } from './rows.ts'
import type { StepRule } from '../optimizers/step-rule.ts'

export interface PreparedState {
  /** Its kind and configuration count; the tensors that are trained are in `state`. */
  readonly adapter: Adapter
  /** PEFT keys that are trained. */
  readonly trainable: readonly string[]
  /** The base's weights, in f32 or quantised. */
  readonly weights: ReadonlyMap<string, BaseWeight>
  readonly rule: StepRule
  readonly state: RunState
  /** Empty for a run without replicas and checkpoints. */
  readonly fingerprint: Fingerprint
  /** Which of the checkpoint's files is written next. */
  readonly nextSlot: number
  /** Checkpoints that were found and refused, each with its reason. */
  readonly refused: readonly string[]
}

/** Throws OptionError for a model that returns f32 although quantised weights were requested. */
async function loadBaseWeights(
  { model }: TrainOptions,
  { settings: { quantization } }: Recipe,
): Promise<ReadonlyMap<string, BaseWeight>> {
  const weights = await model.weights(quantization && { quantization })
  if (quantization && ![...weights.values()].some(isFrozen))
    throw new OptionError(
      `Training options: quantization is "${quantization}", but the files of "${model.base.name}" have no quantised matrix.`,
    )
  return weights
}

/** The metadata's key for the quantisation of the base that an adapter was trained on. */
export const quantizationKey = 'graft_base_quantization'

/** The adapter that is trained, with metadata on its data and the quantisation of its base. */
async function createTrainedAdapter(
  options: TrainOptions,
  { settings: { seed, quantization }, loss, lossSettings }: Recipe,
  weights: ReadonlyMap<string, BaseWeight>,
): Promise<Adapter> {
  const { adapter: given = defaultAdapter, data, model, metadata = {}, date } = options
  const { graph, name } = model.base
  let adapter: Adapter
  if ('tensors' in given) {
    checkAdapter(given, graph)
    await checkCopies(given, model, weights)
    await checkTaughtBase([given], model, options)
    adapter = given
  } else {
    const weightOf = (wanted: string): F32Tensor => thaw(weights.get(wanted)!)
    const start = { seed, baseModel: name, weightOf }
    const fresh: FreshAdapter = given
    const kind = toKindName(fresh.kind)
    const role =
      fresh.role === undefined
        ? undefined
        : completeRole(fresh.role, graph, { kind, ...(fresh.config && { config: fresh.config }) })
    const config = role?.config ?? fresh.config ?? {}
    adapter = initializeAdapter(kind, config, graph, start)
    if (role) adapter = withMetadata(adapter, toAdapterMetadata(role))
  }
  const hash = 'contentHash' in data ? data.contentHash : undefined
  const described = withMetadata(adapter, toDescriptionMetadata(metadata))
  return withMetadata(withMetadata(described, loss.describe?.(lossSettings) ?? {}), {
    [dataHashKey]: hash,
    [quantizationKey]: quantization,
    [dateKey]:
      date && needsDate(getExpertText(model.base, adapter).chatTemplate)
        ? formatDay(date)
        : undefined,
  })
}

/** The adapter with these entries in its metadata; undefined ones are left out. */
function withMetadata(
  adapter: Adapter,
  entries: Readonly<Record<string, string | undefined>>,
): Adapter {
  const known = Object.entries(entries).flatMap(([name, value]) =>
    value === undefined ? [] : [[name, value] as const],
  )
  if (known.length === 0) return adapter
  return { ...adapter, metadata: { ...adapter.metadata, ...Object.fromEntries(known) } }
}

/**
 * The penalty of earlier tasks. The adapter is checked even if there are none yet, because this
 * run's task will be protected at the end. Throws UnsupportedError for adapters that EWC cannot
 * protect.
 */
function createPenalty(
  { model }: TrainOptions,
  { ewc }: Recipe,
  adapter: Adapter,
): Penalty | undefined {
  if (!ewc) return undefined
  const layers = listLoraLayers(model.base.graph, adapter)
  return ewc.state && createEwcPenalty(ewc.state, ewc.lambda, layers)
}

/** Settings that do not change results: gradient checkpointing, and the reaction to divergence. */
const withoutEffect = ['checkpointing', 'onDivergence']
/** One shard equals no shards, which older checkpoints do not name. */
const listUnnamed = ({ shards }: { readonly shards: number }): string[] =>
  shards === 1 ? [...withoutEffect, 'shards'] : withoutEffect

/**
 * Everything that determines a run. Only runs with checkpoints need it, because hashing takes time.
 */
async function computeFingerprint(
  options: TrainOptions,
  recipe: Recipe,
  { encoded, validation }: PreparedRows,
  adapter: Adapter,
  start: RunState,
): Promise<Fingerprint> {
  const { peft: _peft, ...config } = adapter.config
  const { ropeScaling } = options.model.base
  const held = validation && {
    validation: await hashSequences(validation.encoded.rows),
    validationSteps: validation.everySteps ?? 'epoch',
  }
  return {
    ...flattenSettings(recipe.settings, listUnnamed(recipe.settings)),
    lossOptions: JSON.stringify(recipe.lossSettings),
    optimizerOptions: JSON.stringify(recipe.optimizerSettings),
    scheduleOptions: JSON.stringify(recipe.scheduleSettings),
    base: await options.model.base.identity(),
    ...(ropeScaling && { ropeScaling: JSON.stringify(ropeScaling) }),
    adapter: JSON.stringify([adapter.kind, config]),
    adapterStart: computeChecksum(start.parameters),
    data: await hashSequences(encoded.rows),
    ...(options.date && { date: options.date.toISOString() }),
    ...(await computeAuxiliaryFingerprint(options, recipe)),
    ...computeEwcFingerprint(options.ewc),
    ...held,
  }
}

const withoutDate = (fingerprint: Fingerprint): Fingerprint =>
  Object.fromEntries(Object.entries(fingerprint).filter(([name]) => name !== 'date'))

/** The newest checkpoint if there is one. Throws MismatchError if it is of another run. */
async function findMatchingCheckpoint(
  { checkpoint }: TrainOptions,
  fingerprint: Fingerprint,
): Promise<FoundCheckpoint> {
  if (!checkpoint?.source) return { nextSlot: 0, refused: [] }
  const found = await findCheckpoint(checkpoint.source)
  if (!found.checkpoint) return found
  const saved = found.checkpoint.fingerprint
  // The date only affects the data, whose hash is compared; older files have no date.
  checkFingerprint(withoutDate(saved), withoutDate(fingerprint))
  return found
}

/**
 * The state that a run starts or resumes from. Throws OptionError, UnsupportedError, MismatchError
 * for an adapter or a checkpoint that does not fit, and FormatError if no checkpoint is valid.
 */
export async function prepareState(
  options: TrainOptions,
  recipe: Recipe,
  rows: PreparedRows,
): Promise<PreparedState> {
  const weights = await loadBaseWeights(options, recipe)
  const adapter = await createTrainedAdapter(options, recipe, weights)
  const parameters = listTrainedParameters(options.model.base.graph, adapter)
  const penalty = createPenalty(options, recipe, adapter)
  const rule = createStepRule(recipe, recipe.settings, parameters, penalty)
  const fresh = createInitialState(adapter, parameters, rule)
  const isCompared = options.checkpoint !== undefined || options.exchange !== undefined
  const fingerprint = isCompared
    ? await computeFingerprint(options, recipe, rows, adapter, fresh)
    : {}
  const { checkpoint, nextSlot, refused } = await findMatchingCheckpoint(options, fingerprint)
  const { base } = fingerprint
  const state = checkpoint?.state ?? fresh
  // different weights can have the same name, so an adapter also records the hash of its base
  const hash = { [baseHashKey]: typeof base === 'string' ? base : undefined }
  const kept = { adapter: withMetadata(adapter, hash), trainable: parameters.trainable, rule }
  const ofKind = hasFallenBack(adapter, state)
    ? switchToLora(options.model.base.graph, kept.adapter, recipe)
    : kept
  return {
    ...ofKind,
    weights,
    state,
    fingerprint,
    nextSlot,
    refused,
  }
}
