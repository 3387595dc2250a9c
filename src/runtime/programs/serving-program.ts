// One compiled program that serves a base model with any adapter: weights packed inside it, adapter
// tensors and the cache fed.

import { type Adapter, attach, type Expert, isMixture } from '../../adapters/index.ts'
import { toAdapterFeeds } from '../../adapters/adapter.ts'
import {
  attachSlots,
  type SlotOptions,
  toSlotFeeds,
  withOwnRanks,
} from '../../adapters/serving/slots.ts'
import {
  readServingWeights,
  type ServingWeightMap,
} from '../../adapters/serving/serving-weights.ts'
import { assertInternal } from '../../base/errors.ts'
import type { F32Tensor, Tensor } from '../../base/tensor.ts'
import { type Accuracy, packLinears } from '../../compute/pack-linears.ts'
import type { Graph } from '../../graph/ir.ts'
import { composeBlocks, type ModelGraph } from '../../graph/model-graph.ts'
import { getLayerInputName } from '../../graph/passes/tail.ts'
import type { BaseWeights } from './base-weights.ts'
import {
  type KvElement,
  withCache,
  withEmbeddingRows,
  withLogitRows,
  withStates,
} from './cached-graph.ts'
import type { ProgramCompiler } from './program-compiler.ts'
import { isPerRow, type ServedExperts } from './row-groups.ts'
import { stackAdapter } from './stack-adapter.ts'
import { type LinearStack, type StackedModel, stackLinears } from './stack-linears.ts'
import { stackRows } from './stack-rows.ts'

export interface ServingProgram {
  /** Computes and caches the expert's feeds, so that its first run does not wait. */
  prepare(served: ServedExperts): Promise<void>
  /** Feeds are the graph's own (masks, positions, rows, cache); the rest is added here. */
  run(feeds: ReadonlyMap<string, Tensor>, served: ServedExperts): Promise<Map<string, Tensor>>
  dispose(): Promise<void>
}

export interface ServingOptions {
  readonly model: ModelGraph
  readonly weights: BaseWeights
  readonly compiler: ProgramCompiler
  readonly accuracy: Accuracy
  /**
   * An adapter that slots cannot serve gets a separate program, for its configuration. Absent:
   * slots for any other adapter.
   */
  readonly attached?: Pick<Adapter, 'kind' | 'config'>
  /** Which tensors the slots have. Default 'plain'. */
  readonly slots?: SlotKind
  /**
   * Slots for each row of the batch: the program is run with a list of experts. If all rows have
   * one expert, a program without them is faster.
   */
  readonly perRow?: boolean
  /**
   * Low-rank branches that act only where the feed `active` is set; costs one more product for each
   * layer.
   */
  readonly activation?: boolean
  /**
   * A layer whose incoming states are an output too; there is no other cost.
   */
  readonly states?: number | undefined
  /** Element type of past.<layer>.k and .v. Default 'f32'. */
  readonly past?: KvElement | undefined
  /**
   * Reads an expert's serving weights, where a cache keeps them. Default: they are computed when
   * the expert is first run.
   */
  readonly readServing?: (expert: Expert) => Promise<ServingWeightMap>
}

/**
 * From least to most: two matrices a layer; also a factor of each output (DoRA); also a shift of
 * each output, and a factor of each input in layers that are not stacked (IA3). Every vector costs
 * an input and a pass over the outputs; for a single token, as much as the low-rank branch.
 */
export const slotKinds = ['plain', 'scaled', 'all'] as const
export type SlotKind = (typeof slotKinds)[number]

/** Stacks linear layers with weights of the same form, so that they share one product. */
export const stackModel = (model: ModelGraph, weights: BaseWeights): StackedModel =>
  stackLinears(model, (weight) => JSON.stringify(weights.formOf(weight)))

/**
 * A model with slots: the stacked one for a program, the single one for what an adapter must fit.
 */
export function withSlots(
  model: ModelGraph,
  stacks: readonly LinearStack[],
  kind: SlotKind,
  more: Pick<SlotOptions, 'perRow' | 'activation'> = {},
): ModelGraph {
  if (kind !== 'all') return attachSlots(model, { v: kind === 'scaled', ...more })
  const stacked = new Set(
    stacks.flatMap(({ module, parts }) => [module, ...parts.map((part) => part.module)]),
  )
  return attachSlots(model, { v: true, shift: true, u: ({ path }) => !stacked.has(path), ...more })
}

/**
 * The graph that is compiled: embedding rows as input, attention over a cache, logits only for the
 * requested tokens.
 */
export function buildServingGraph(options: Omit<ServingOptions, 'compiler'>): {
  graph: Graph
  stacks: readonly LinearStack[]
} {
  const {
    model,
    weights,
    accuracy,
    attached,
    slots = 'plain',
    perRow = false,
    activation = false,
    states,
    past = 'f32',
  } = options
  // An attached graph names its adapter's inputs after single modules, so its layers stay apart.
  const { model: stacked, stacks } = attached ? { model, stacks: [] } : stackModel(model, weights)
  const detoured = attached
    ? attach(stacked, attached)
    : withSlots(stacked, stacks, slots, { perRow, activation })
  const whole = composeBlocks(detoured.blocks)
  const observed =
    states === undefined ? whole : withStates(whole, getLayerInputName(detoured, states))
  const chained = withLogitRows(withEmbeddingRows(withCache(withOwnRanks(observed), past)))
  const stackOf = new Map(stacks.map((stack) => [stack.weight, stack]))
  const formOfWeight = (weight: string) =>
    weights.formOf(stackOf.get(weight)?.parts[0]!.weight ?? weight)
  return { graph: packLinears(chained, formOfWeight, accuracy), stacks }
}

/** Compiles the program. Throws NotFoundError for a weight the store does not have. */
export async function createServingProgram(options: ServingOptions): Promise<ServingProgram> {
  const { graph, stacks } = buildServingGraph(options)
  const [program] = await options.compiler.compile([{ graph, stacks }], options.accuracy)
  assertInternal(program, 'one graph gives one program')
  const tensorsOf = createExpertFeeds(options, stacks)
  const keptOf = options.perRow ? cacheLastBatch(tensorsOf) : cacheByExpert(tensorsOf)
  return {
    prepare: async (served) => void (await keptOf(served)),
    run: async (feeds, served) => program.run(new Map([...(await keptOf(served)), ...feeds])),
    dispose: () => program.dispose(),
  }
}

type FeedSource<Given> = (given: Given) => Promise<ReadonlyMap<string, F32Tensor>>

/** What an expert feeds. */
function createExpertFeeds(
  options: ServingOptions,
  stacks: readonly LinearStack[],
): FeedSource<Expert | undefined> {
  const { model, weights, attached, slots = 'plain', activation = false } = options
  const readOwn = async (expert: Expert): Promise<ServingWeightMap> => {
    assertInternal(!isMixture(expert), 'a mixture is served by a program that is given its weights')
    return readServingWeights(expert, model, weights.floatUncached)
  }
  const { readServing = readOwn } = options
  const slotted = attached ? undefined : withSlots(model, stacks, slots, { activation })
  return async (expert) => {
    if (slotted)
      return stackAdapter(
        toSlotFeeds(expert ? await readServing(expert) : new Map(), slotted),
        stacks,
      )
    assertInternal(expert && !isMixture(expert), 'an attached program serves one adapter')
    return toAdapterFeeds(expert)
  }
}

/** Tensors of one expert for all rows, kept as long as the expert is. */
function cacheByExpert(tensorsOf: FeedSource<Expert | undefined>): FeedSource<ServedExperts> {
  const known = new WeakMap<Expert, Promise<ReadonlyMap<string, F32Tensor>>>()
  let base: Promise<ReadonlyMap<string, F32Tensor>> | undefined
  return (served) => {
    assertInternal(!isPerRow(served), 'this program has one expert for all rows')
    if (!served) return (base ??= tensorsOf(undefined))
    const tensors = known.get(served) ?? tensorsOf(served)
    known.set(served, tensors)
    return tensors
  }
}

/**
 * Tensors of one expert for each row. Those of the last batch are kept, because a batch decodes
 * many tokens.
 */
function cacheLastBatch(tensorsOf: FeedSource<Expert | undefined>): FeedSource<ServedExperts> {
  let last:
    | { experts: readonly (Expert | undefined)[]; tensors: Promise<ReadonlyMap<string, F32Tensor>> }
    | undefined
  const stackedRows = async (experts: readonly (Expert | undefined)[]) => {
    const distinct = [...new Set(experts)]
    const made = new Map(
      await Promise.all(distinct.map(async (expert) => [expert, await tensorsOf(expert)] as const)),
    )
    return stackRows(experts.map((expert) => made.get(expert)!))
  }
  return (served) => {
    assertInternal(isPerRow(served), 'this program has one expert for each row')
    const same =
      last?.experts.length === served.length &&
      served.every((expert, row) => expert === last!.experts[row])
    if (!last || !same) last = { experts: served, tensors: stackedRows(served) }
    return last.tensors
  }
}
