// The rows of a run: encoded, checked, with the adapter's virtual tokens, packed, and in the order
// of batches. All of it follows from the data, the recipe and the seed.

import { getExpertText } from '../../adapters/files/expert-text.ts'
import { type Adapter, listVirtualIds } from '../../adapters/adapter.ts'
import { getKind, toKindName } from '../../adapters/kinds/kind-table.ts'
import { DataError, OptionError } from '../../base/errors.ts'
import { computeSharedReach } from '../../graph/feeds.ts'
import { checkInvocation, limitSharedPrefix } from '../batches/activation.ts'
import {
  type BatchPlan,
  computeFillRate,
  countSharedPrefix,
  type PackingOptions,
  planEpoch,
} from '../batches/packing.ts'
import { encodeData, type EncodedData, type EncodedSequence } from '../data/encode.ts'
import { splitRows } from '../data/split-rows.ts'
import { createDataError, type RawDataset } from '../data/jsonl.ts'
import type { DataCounts } from '../events.ts'
import { getGroupSize } from '../losses/loss.ts'
import type { RunData } from '../objective/auxiliary-model.ts'
import { checkData } from '../objective/objective.ts'
import { defaultAdapter, type FreshAdapter, type TrainOptions } from '../options/options.ts'
import type { Recipe } from '../options/recipe.ts'
import type { TrainSettings } from '../options/settings.ts'
import { resolveValidation, toRows } from '../options/train-data.ts'
import { planRun, type RunPlan } from './batch-order.ts'
import { checkPatience } from './early-stopping.ts'

/** Held-out rows, on which the loss is only measured. */
export interface HeldRows extends RunData {
  /** As they were before virtual tokens stood in front of them. */
  readonly encoded: EncodedData
  readonly batches: readonly BatchPlan[]
  /** Steps between validations; undefined: at the end of each epoch. */
  readonly everySteps: number | undefined
}

export interface PreparedRows {
  readonly data: RunData
  /** As they were before virtual tokens stood in front of them. */
  readonly encoded: EncodedData
  /** Which batches make up which step. */
  readonly plan: RunPlan
  /** Share of the places in the first epoch's batches that hold a token. */
  readonly fill: number
  readonly validation: HeldRows | undefined
}

/** Virtual tokens with which rows begin, and invocation tokens after which the adapter acts. */
interface RowNeeds {
  readonly virtual: readonly number[]
  readonly invocation: readonly number[] | undefined
}

function resolveRowNeeds(adapter: Adapter | FreshAdapter): RowNeeds {
  const kind = toKindName(adapter.kind)
  const config =
    'tensors' in adapter ? adapter.config : getKind(kind).complete(adapter.config ?? {})
  return { virtual: listVirtualIds({ kind, config }), invocation: config.invocationTokens }
}

/**
 * Throws DataError that names every row with an id outside the vocabulary, or with weights that are
 * negative or not numbers.
 */
function checkRows({ name, rows }: EncodedData, vocabularySize: number): void {
  if (rows.length === 0) throw new DataError(`${name}: contains no rows.`)
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
    throw createDataError(name, 'contains rows that this model cannot learn from', problems)
}

/** Rows as tokens with weights, checked against the model's vocabulary. */
function encodeAll(
  data: RawDataset | EncodedData,
  { model, date, adapter }: TrainOptions,
  { maxTokens, system }: Pick<TrainSettings, 'maxTokens' | 'system'>,
): EncodedData {
  const { name, graph } = model.base
  const given = adapter && 'tensors' in adapter ? adapter : undefined
  const { tokenizer, chatTemplate } = getExpertText(model.base, given)
  const { vocabularySize } = graph.config
  if ('examples' in data) {
    checkRows(data, vocabularySize)
    return data
  }
  if (!tokenizer)
    throw new OptionError(
      `Model "${name}" has no tokenizer: give encoded data, or a model with tokenizer.json.`,
    )
  const encoded = encodeData(data, {
    tokenizer,
    maxTokens,
    ...(chatTemplate === undefined ? {} : { chatTemplate }),
    ...(system === undefined ? {} : { system }),
    ...(date ? { now: date } : {}),
  })
  // a tokenizer may know added tokens that the model has no row for
  checkRows(encoded, vocabularySize)
  return encoded
}

/**
 * The same, cut to the size of a packed sequence if a whole group of texts must fit one and no
 * length was given.
 */
function encodeRows(
  data: RawDataset | EncodedData,
  options: TrainOptions,
  room: TrainSettings,
): EncodedData {
  const encoded = encodeAll(data, options, room)
  const { groupSize: size } = encoded
  if (size === undefined || 'examples' in data || options.maxTokens !== undefined) return encoded
  const lengths = encoded.rows.map(({ ids }) => ids.length)
  const isTooLong = (_: number, at: number): boolean =>
    at % size === 0 &&
    lengths.slice(at, at + size).reduce((sum, length) => sum + length, 0) > room.batch.tokens
  if (!room.packing || !lengths.some(isTooLong)) return encoded
  const maxTokens = Math.floor(room.batch.tokens / size)
  return encodeAll(data, options, { ...room, maxTokens })
}

/** Throws OptionError if no anchor has any text except its positive to be compared with. */
function checkContrast({ groupSize }: EncodedData, batches: readonly BatchPlan[]): void {
  if (groupSize !== 2 || batches.some((plan) => plan.flat().length > groupSize)) return
  throw new OptionError(
    'Every batch has one anchor and its positive, and no other text to compare with: give rows with negatives, more rows, or larger batches (batch.rows, batch.tokens).',
  )
}

/**
 * A row preceded by virtual tokens, which are context and not learned. All rows share them, so
 * packing stores them once for each sequence.
 */
export const withVirtualTokens = (
  { ids, weights, ...verdict }: EncodedSequence,
  virtual: readonly number[],
): EncodedSequence => ({
  ...verdict,
  ids: Int32Array.of(...virtual, ...ids),
  weights: Float32Array.of(...virtual.map(() => 0), ...weights),
})

/**
 * Rows as they are packed. A packed sequence begins with the prefix that its rows share. There are
 * two exceptions: a sliding window that is shorter than the packed sequence counts positions, so
 * later rows would not see the prefix; and convolutions read neighbouring tokens of the packed
 * sequence.
 */
function toRunData(
  encoded: EncodedData,
  { virtual, invocation }: RowNeeds,
  { packing, batch }: TrainSettings,
  { model }: TrainOptions,
): RunData {
  const rows =
    virtual.length > 0 ? encoded.rows.map((row) => withVirtualTokens(row, virtual)) : encoded.rows
  const { groupSize } = encoded
  const reach = computeSharedReach(model.base.graph.config)
  const shared = packing && reach >= batch.tokens ? countSharedPrefix(rows) : 0
  return {
    rows,
    shared: invocation ? limitSharedPrefix(rows, shared, invocation) : shared,
    groupSize,
  }
}

/** Rows to learn from and rows held back, as they were given. */
function openRows({ data, validation }: TrainOptions, seed: number) {
  const rows = toRows(data)
  const options = resolveValidation(validation)
  if (!options) return { rows, held: undefined, everySteps: undefined }
  const { everySteps } = options
  if (typeof options.data !== 'number') return { rows, held: toRows(options.data), everySteps }
  const parts = splitRows<RawDataset | EncodedData>(rows, options.data, seed)
  return { rows: parts.train, held: parts.validation, everySteps }
}

/** Counts of encoded rows, as events report them. */
export function countData({ examples, rows, cut, dropped, summary }: EncodedData): DataCounts {
  const tokens = rows.reduce((sum, { ids }) => sum + ids.length, 0)
  const scored = rows.reduce(
    (sum, { weights }) => sum + weights.filter((weight) => weight > 0).length,
    0,
  )
  const counts = { examples, rows: rows.length, cut, dropped, tokens, scored }
  return summary === undefined ? counts : Object.assign(counts, { summary })
}

/**
 * The number of validations of a whole run: every `everySteps` steps or at the end of each epoch,
 * and after the last step.
 */
export const countValidations = (
  { steps, endsEpoch }: RunPlan,
  everySteps: number | undefined,
): number =>
  Array.from({ length: steps }, (_, i) => i + 1).filter(
    (step) =>
      step === steps || (everySteps === undefined ? endsEpoch(step) : step % everySteps === 0),
  ).length

/**
 * The rows of a run. Throws OptionError for a patience that cannot run out, and DataError for rows
 * that the model, the loss or the adapter cannot learn from.
 */
export function prepareRows(options: TrainOptions, recipe: Recipe): PreparedRows {
  const { settings } = recipe
  const { adapter = defaultAdapter } = options
  const needs = resolveRowNeeds(adapter)
  const room = { ...settings, maxTokens: settings.maxTokens - needs.virtual.length }
  const { rows, held, everySteps } = openRows(options, settings.seed)
  const encoded = encodeRows(rows, options, room)
  const heldEncoded = held && encodeRows(held, options, room)
  checkData(encoded, recipe.loss)
  if (heldEncoded) checkData(heldEncoded, recipe.loss)
  if (needs.invocation) checkInvocation(encoded, needs.invocation)
  const data = toRunData(encoded, needs, settings, options)
  const packingOf = (of: RunData): Omit<PackingOptions, 'epoch'> => {
    const { batch, packing, seed } = settings
    const together = getGroupSize(recipe.loss, of)
    return { ...batch, packing, seed, shared: of.shared, together }
  }
  const { epochs, steps, accumulation } = settings
  const plan = planRun(data.rows, { epochs, steps, accumulation, ...packingOf(data) })
  checkPatience(settings, held ? countValidations(plan, everySteps) : 0)
  const firstEpoch = planEpoch(data.rows, { ...packingOf(data), epoch: 0 })
  checkContrast(encoded, firstEpoch)
  const fill = computeFillRate(data.rows, firstEpoch, data.shared)
  if (!heldEncoded) return { data, encoded, plan, fill, validation: undefined }
  const heldData = toRunData(heldEncoded, needs, settings, options)
  const batches = planEpoch(heldData.rows, { ...packingOf(heldData), epoch: 0 })
  return {
    data,
    encoded,
    plan,
    fill,
    validation: { ...heldData, encoded: heldEncoded, batches, everySteps },
  }
}
