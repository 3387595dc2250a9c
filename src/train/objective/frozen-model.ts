// A model that is not trained and is run on the same tokens: the reference for preferences, the
// teacher for distillation. Forward passes only, block by block, so that equal layers share a
// program. Independent of losses.

import {
  type Adapter,
  toAdapterFeeds,
  checkAdapter,
  listVirtualIds,
} from '../../adapters/adapter.ts'
import { attach } from '../../adapters/attach.ts'
import {
  type Expert,
  isMixture,
  mixServingWeights,
  simplifyExpert,
} from '../../adapters/serving/mixture.ts'
import { computeServingWeights } from '../../adapters/serving/serving-weights.ts'
import { attachSlots, toSlotFeeds } from '../../adapters/serving/slots.ts'
import { OptionError } from '../../base/errors.ts'
import type { F32Tensor, Tensor } from '../../base/tensor.ts'
import type { Backend, Program } from '../../compute/backend.ts'
import { computeSharedReach } from '../../graph/feeds.ts'
import { freezeBlocks, collectFrozenFeeds } from '../../graph/passes/freeze-blocks.ts'
import { type BaseWeight, thaw } from '../../graph/quantized-base/quantize-weight.ts'
import type { Graph } from '../../graph/ir.ts'
import type { Block, ModelGraph } from '../../graph/model-graph.ts'
import { collectActivationFeeds, limitSharedPrefix } from '../batches/activation.ts'
import type { Batch } from '../batches/batch.ts'
import type { EncodedSequence } from '../data/encode.ts'
import { collectBatchFeeds } from '../programs/gradient-program.ts'
import type { HeadGraph } from '../losses/loss.ts'
import { withEnding } from '../losses/with-loss.ts'
import { type BatchPlan, buildBatch } from '../batches/packing.ts'
import { selectLocalFeeds } from '../programs/gradient-checkpointing.ts'

export interface FrozenModelOptions {
  readonly graph: ModelGraph
  /** Base weights by checkpoint name, in f32 or quantised. */
  readonly weights: ReadonlyMap<string, BaseWeight>
  readonly backend: Backend
  /** Absent: the base alone. */
  readonly expert?: Expert | undefined
  /** The requested outputs of the head. */
  readonly head: HeadGraph
  /**
   * Most tokens of a packed sequence. If a sliding window is narrower, rows share no prefix,
   * because the window counts positions.
   */
  readonly lineTokens: number
}

/**
 * Rows without the virtual tokens of the trained adapter, and how many tokens of their prefix may
 * be shared in a packed sequence.
 */
export interface PlainRows {
  readonly rows: readonly EncodedSequence[]
  readonly shared: number
}

export interface FrozenModel {
  /**
   * The head's outputs for the scored tokens of the planned rows, in the order in which
   * `buildBatch` has them.
   */
  run(data: PlainRows, plan: BatchPlan): Promise<Map<string, Tensor>>
  dispose(): Promise<void>
}

/** A model with an expert, and the expert's feeds. */
interface ModelWithExpert {
  readonly model: ModelGraph
  readonly feeds: ReadonlyMap<string, Tensor>
  readonly virtual: readonly number[]
  readonly invocation: readonly number[] | undefined
}

function attachAdapter(graph: ModelGraph, adapter: Adapter): ModelWithExpert {
  const { invocationTokens: invocation } = adapter.config
  return {
    model: attach(graph, adapter),
    feeds: toAdapterFeeds(adapter),
    virtual: listVirtualIds(adapter),
    invocation,
  }
}

/** Σ weight·ΔW in slots: what serving the mixture computes. */
function attachMixture(
  graph: ModelGraph,
  expert: Exclude<Expert, Adapter>,
  weights: FrozenModelOptions['weights'],
): ModelWithExpert {
  const weightOf = (name: string): F32Tensor => thaw(weights.get(name)!)
  const forms = mixServingWeights(
    expert.mixture.map(({ adapter, weight }) => ({
      weight,
      forms: computeServingWeights(adapter, graph, weightOf),
    })),
  )
  const all = [...forms.values()]
  const invocation = all.find((form) => form.invocation)?.invocation
  const model = attachSlots(graph, {
    modules: ({ path }) => forms.has(path),
    v: all.some(({ v }) => v),
    shift: all.some(({ shift }) => shift),
    u: ({ path }) => forms.get(path)?.u !== undefined,
    activation: invocation !== undefined,
  })
  return { model, feeds: toSlotFeeds(forms, model), virtual: [], invocation }
}

function attachExpert({ graph, weights, expert }: FrozenModelOptions): ModelWithExpert {
  const acting = simplifyExpert(expert)
  if (!acting) return { model: graph, feeds: new Map(), virtual: [], invocation: undefined }
  return isMixture(acting) ? attachMixture(graph, acting, weights) : attachAdapter(graph, acting)
}

/**
 * Throws, before anything is computed, MismatchError for an expert of another base and OptionError
 * for an invalid mixture.
 */
export function checkExpert(expert: Expert | undefined, graph: ModelGraph): void {
  const acting = simplifyExpert(expert)
  const adapters = !acting
    ? []
    : isMixture(acting)
      ? acting.mixture.map(({ adapter }) => adapter)
      : [acting]
  for (const adapter of adapters) {
    checkAdapter(adapter, graph)
    if (adapters.length > 1 && listVirtualIds(adapter).length > 0)
      throw new OptionError(
        `A ${adapter.kind} adapter changes no weight, so it cannot be one of a mixture.`,
      )
  }
}

/**
 * The rows as this model reads them: after its own virtual tokens, with the shared prefix that its
 * layers allow.
 */
function prepareRows(
  { model, virtual, invocation }: ModelWithExpert,
  { rows, shared }: PlainRows,
  lineTokens: number,
): PlainRows {
  const own =
    virtual.length === 0
      ? rows
      : rows.map(({ ids, weights }) => ({
          ids: Int32Array.of(...virtual, ...ids),
          weights: Float32Array.of(...virtual.map(() => 0), ...weights),
        }))
  const reach = computeSharedReach(model.config)
  const common = shared > 0 && reach >= lineTokens + virtual.length ? shared + virtual.length : 0
  return { rows: own, shared: invocation ? limitSharedPrefix(own, common, invocation) : common }
}

/** Compiles at the first run. */
export function createFrozenModel(options: FrozenModelOptions): FrozenModel {
  const { weights, backend, head, lineTokens } = options
  const parts = attachExpert(options)
  const blocks = freezeBlocks(weights)(parts.model.blocks).map((block): Block =>
    block.kind === 'head' ? { ...block, graph: withEnding(block.graph, head) } : block,
  )
  const programs = new Map<Graph, Promise<Program>>()
  const programOf = ({ graph }: Block): Promise<Program> => {
    const program = programs.get(graph) ?? backend.compile(graph)
    programs.set(graph, program)
    return program
  }
  const prepared = new WeakMap<PlainRows, PlainRows>()
  const rowsOf = (data: PlainRows): PlainRows => {
    const own = prepared.get(data) ?? prepareRows(parts, data, lineTokens)
    prepared.set(data, own)
    return own
  }

  async function forward(batch: Batch): Promise<Map<string, Tensor>> {
    const feeds = collectBatchFeeds(parts.model.config, batch)
    for (const [name, tensor] of collectActivationFeeds(batch, parts.invocation))
      feeds.set(name, tensor)
    for (const [name, weight] of weights)
      for (const [input, tensor] of collectFrozenFeeds(name, weight)) feeds.set(input, tensor)
    for (const [name, tensor] of parts.feeds) feeds.set(name, tensor)
    let outputs = new Map<string, Tensor>()
    for (const block of blocks) {
      const x = outputs.get('x')
      outputs = await (
        await programOf(block)
      ).run(selectLocalFeeds(feeds, block, x ? [['x', x]] : []))
    }
    return outputs
  }
  return {
    run(data, plan) {
      const { rows, shared } = rowsOf(data)
      return forward(buildBatch(rows, plan, { shared }))
    },
    async dispose() {
      const all = [...programs.values()]
      programs.clear()
      await Promise.all(all.map(async (program) => (await program).dispose()))
    },
  }
}
