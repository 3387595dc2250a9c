// The frozen model of a loss, teacher or reference: selects it, checks that it fits, and computes
// its outputs for batches of rows, which are stored if they are precomputed.

import type { Expert } from '../../adapters/serving/mixture.ts'
import { OptionError } from '../../base/errors.ts'
import { sizeOf, type Tensor, type TensorData } from '../../base/tensor.ts'
import { computeServedIdentity } from '../../graph/model-identity.ts'
import type { BaseWeight } from '../../graph/quantized-base/quantize-weight.ts'
import type { Adapter } from '../../adapters/adapter.ts'
import { computeChecksum, type Fingerprint } from '../fingerprint.ts'
import type { EncodedSequence } from '../data/encode.ts'
import type { TrainEvent } from '../events.ts'
import { checkCopies, checkTaughtBase } from './other-base.ts'
import { checkExpert, createFrozenModel, type FrozenModel, type PlainRows } from './frozen-model.ts'
import { type FrozenPass, getGroupSize, type NamedTensors } from '../losses/loss.ts'
import type { TrainOptions } from '../options/options.ts'
import type { LossRecipe } from '../options/recipe.ts'
import type { TrainSettings } from '../options/settings.ts'
import type { TrainableModel } from '../programs/trainable-model.ts'
import { type BatchPlan, planEpoch } from '../batches/packing.ts'
import type { MeasuredBatch } from '../replicas/note.ts'
import {
  createReplicaGroup,
  listOwnPlaces,
  type ReplicaGroup,
  shareMeasures,
} from '../replicas/replica-group.ts'

/** Encoded rows, and the length of the prefix that they share. */
export interface RunData {
  readonly rows: readonly EncodedSequence[]
  readonly shared: number
  /** For rows in groups: the size of a group. */
  readonly groupSize?: number | undefined
}

export interface ObjectiveParts {
  readonly options: Pick<TrainOptions, 'model' | 'teacher' | 'reference' | 'anyBase'>
  readonly recipe: LossRecipe & { readonly settings: TrainSettings }
  /** The base's weights, as they are trained on. */
  readonly weights: ReadonlyMap<string, BaseWeight>
}

type FrozenOptions = ObjectiveParts['options']

/** The frozen model, and the expert on it. */
function selectFrozenModel(
  { model, teacher, reference }: FrozenOptions,
  { role }: FrozenPass,
): { model: TrainableModel; expert: Expert | undefined } {
  if (role === 'reference') return { model, expert: reference }
  return {
    model: teacher?.model ?? model,
    expert: teacher?.mixture ? { mixture: teacher.mixture } : teacher?.adapter,
  }
}

const listParts = (expert: Expert | undefined): Adapter[] => {
  if (!expert) return []
  return 'mixture' in expert ? expert.mixture.map(({ adapter }) => adapter) : [expert]
}

/**
 * Only every n-th id is compared, because two different tokenizers of one size differ nearly
 * everywhere.
 */
const comparedIds = 512

function checkVocabulary(own: TrainableModel, { base: other }: TrainableModel): void {
  const { base } = own
  const [size, otherSize] = [base, other].map(({ graph }) => graph.config.vocabularySize) as [
    number,
    number,
  ]
  if (size !== otherSize)
    throw new OptionError(
      `The teacher "${other.name}" has a vocabulary of ${otherSize} tokens, the model "${base.name}" one of ${size}. ` +
        'Distillation compares predictions token by token: take a teacher with the same vocabulary.',
    )
  const tokenizer = base.tokenizer
  const otherTokenizer = other.tokenizer
  if (!tokenizer || !otherTokenizer) return
  const every = Math.max(1, Math.floor(size / comparedIds))
  for (let id = 0; id < size; id += every) {
    const got = otherTokenizer.decode([id])
    const expected = tokenizer.decode([id])
    if (got !== expected)
      throw new OptionError(
        `The teacher "${other.name}" has another vocabulary than "${base.name}": token ${id} is ${JSON.stringify(got)}, expected ${JSON.stringify(expected)}.`,
      )
  }
}

/**
 * Throws OptionError or MismatchError where the teacher or the reference does not fit, before
 * anything is computed.
 */
export async function checkAuxiliaryModel(
  options: FrozenOptions,
  { frozenPass }: LossRecipe,
): Promise<void> {
  if (!frozenPass) return
  const { model, expert } = selectFrozenModel(options, frozenPass)
  if (model !== options.model) checkVocabulary(options.model, model)
  checkExpert(expert, model.base.graph)
  await checkTaughtBase(listParts(expert), model, options)
}

/** What must be equal for teacher or reference in a resumed run. */
export async function computeAuxiliaryFingerprint(
  options: FrozenOptions,
  { frozenPass: pass }: LossRecipe,
): Promise<Fingerprint> {
  if (!pass) return {}
  const { model, expert } = selectFrozenModel(options, pass)
  const adapters = !expert
    ? []
    : 'mixture' in expert
      ? expert.mixture
      : [{ adapter: expert, weight: 1 }]
  const shown = adapters.map(({ adapter, weight }) => [
    adapter.kind,
    computeChecksum(adapter.tensors),
    weight,
  ])
  return {
    [pass.role]: JSON.stringify([
      model === options.model ? '' : await computeServedIdentity(model.base),
      shown,
    ]),
  }
}

/** Rows as a model without virtual tokens reads them. */
function removeVirtualTokens({ rows, shared }: RunData): PlainRows {
  const virtual = rows[0]?.ids.findIndex((id) => id >= 0) ?? 0
  if (virtual <= 0) return { rows, shared }
  return {
    rows: rows.map(({ ids, weights }) => ({
      ids: ids.subarray(virtual),
      weights: weights.subarray(virtual),
    })),
    shared: Math.max(0, shared - virtual),
  }
}

export const countLabels = ({ weights }: EncodedSequence): number =>
  weights.reduce((sum, weight) => sum + (weight > 0 ? 1 : 0), 0)

/**
 * A copy of rows `start` to `end` of a tensor whose first dimension counts tokens. It is a copy
 * because the tensor is large and would stay in memory.
 */
function sliceRows({ dtype, shape, data }: Tensor, start: number, end: number): Tensor {
  const size = sizeOf(shape.slice(1))
  return {
    dtype,
    shape: [end - start, ...shape.slice(1)],
    data: data.slice(start * size, end * size),
  }
}

function joinTensors(parts: readonly Tensor[]): Tensor {
  const [first] = parts as [Tensor]
  const data = new (first.data.constructor as new (length: number) => TensorData)(
    parts.reduce((sum, part) => sum + part.data.length, 0),
  )
  let at = 0
  for (const part of parts) {
    data.set(part.data as never, at)
    at += part.data.length
  }
  return {
    dtype: first.dtype,
    shape: [parts.reduce((sum, { shape }) => sum + shape[0]!, 0), ...first.shape.slice(1)],
    data,
  }
}

/** The context of a precomputation: the replicas, the step, and a signal to abort. */
export interface Asking {
  /** Replicas that share the rows between them. Default: none. */
  readonly group?: ReplicaGroup
  /** The next step. */
  readonly step?: number
  readonly signal?: AbortSignal | undefined
}

/** A frozen model with its precomputed outputs. */
export interface AuxiliaryModel {
  precompute(sets: readonly RunData[], asking?: Asking): AsyncGenerator<TrainEvent, void, void>
  getOutputs(data: RunData, plan: BatchPlan): Promise<NamedTensors>
  dispose(): Promise<void>
}

/** The outputs of one plan's batch, cut into those of each of its rows. */
function splitOutputs(
  outputs: NamedTensors,
  { rows }: RunData,
  plan: BatchPlan,
  found: NamedTensors[],
): void {
  let start = 0
  for (const row of plan.flat()) {
    const end = start + countLabels(rows[row]!)
    found[row] = new Map(
      [...outputs].map(([name, tensor]) => [name, sliceRows(tensor, start, end)]),
    )
    start = end
  }
}

function joinOutputs(rows: readonly NamedTensors[]): NamedTensors {
  const names = [...rows[0]!.keys()]
  return new Map(names.map((name) => [name, joinTensors(rows.map((row) => row.get(name)!))]))
}

/** The frozen model on rows as it reads them; opened at first use. */
function openFrozenModel({ options, recipe, weights }: ObjectiveParts, pass: FrozenPass) {
  const { model, expert } = selectFrozenModel(options, pass)
  const open = async (): Promise<FrozenModel> => {
    const own = model === options.model ? weights : await model.weights()
    for (const adapter of listParts(expert)) await checkCopies(adapter, model, own)
    return createFrozenModel({
      graph: model.base.graph,
      weights: own,
      backend: model.backend,
      expert,
      head: pass.graph,
      lineTokens: recipe.settings.batch.tokens,
    })
  }
  let opened: Promise<FrozenModel> | undefined
  const plains = new WeakMap<RunData, PlainRows>()
  return {
    async run(data: RunData, plan: BatchPlan): Promise<NamedTensors> {
      const rows = plains.get(data) ?? removeVirtualTokens(data)
      plains.set(data, rows)
      const outputs = await (await (opened ??= open())).run(rows, plan)
      return pass.condense?.(outputs) ?? outputs
    },
    dispose: async (): Promise<void> => (await opened)?.dispose(),
  }
}

const alone = createReplicaGroup({ shards: 1 })

/** Opens the model at first use. */
export function createAuxiliaryModel(parts: ObjectiveParts, pass: FrozenPass): AuxiliaryModel {
  const { settings, loss } = parts.recipe
  const { batch, packing, seed } = settings
  const frozen = openFrozenModel(parts, pass)
  const known = new WeakMap<RunData, NamedTensors[]>()
  // The same batches in every run, so that a resumed run gets the same bits.
  const planRows = (data: RunData): BatchPlan[] => {
    const { rows, shared } = data
    const together = getGroupSize(loss, data)
    return planEpoch(rows, { ...batch, packing, seed, shared, together, epoch: 0 })
  }
  return {
    async *precompute(sets, { group = alone, step = 0, signal } = {}) {
      if (!pass.ahead) return
      const asked = sets.flatMap((data) => planRows(data).map((plan) => ({ data, plan })))
      const places = listOwnPlaces(group, asked.length)
      const count = places.reduce((sum, place) => sum + asked[place]!.plan.flat().length, 0)
      const found = new Map(sets.map((data) => [data, [] as NamedTensors[]]))
      const keep = (index: number, outputs: NamedTensors): void => {
        const { data, plan } = asked[index]!
        splitOutputs(outputs, data, plan, found.get(data)!)
      }
      const own: MeasuredBatch[] = []
      let done = 0
      for (const index of places) {
        if (signal?.aborted) break
        const { data, plan } = asked[index]!
        const outputs = await frozen.run(data, plan)
        // without other replicas, outputs are cut at once, because the tensors are large
        if (group.size === 1) keep(index, outputs)
        own.push({ index, loss: 0, ...(group.size > 1 && { outputs }) })
        done += plan.flat().length
        yield { type: 'rows-asked', of: pass.role, done, count }
      }
      const { batches } = await shareMeasures(group, step, own)
      if (batches.length < asked.length) return // stopped
      for (const { index, outputs } of batches) if (outputs) keep(index, outputs)
      for (const [data, rows] of found) known.set(data, rows)
    },
    async getOutputs(data, plan) {
      const kept = known.get(data)
      return kept ? joinOutputs(plan.flat().map((row) => kept[row]!)) : frozen.run(data, plan)
    },
    dispose: () => frozen.dispose(),
  }
}
