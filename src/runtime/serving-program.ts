// One compiled program that serves a base model with any adapter: weights packed inside it, adapter tensors and the cache fed.

import { type Adapter, adapterFeeds, attach, attachSlots, readServingForms, type ServingForms, slotTensors } from '../adapters/index.ts'
import { f32, type F32Tensor, type Tensor } from '../base/tensor.ts'
import type { Backend } from '../compute/backend.ts'
import { type Accuracy, packedInputs, packedWeightName, packLinears } from '../compute/pack-linears.ts'
import { stackPacked } from '../compute/pack.ts'
import type { Graph } from '../graph/ir.ts'
import { composeBlocks, type ModelGraph } from '../graph/model-graph.ts'
import { rewrite } from '../graph/rewrite.ts'
import type { BaseWeights } from './base-weights.ts'
import { withCache, withEmbeddingRows, withLogitRows } from './cached-graph.ts'
import { stackAdapter } from './stack-adapter.ts'
import { type LinearStack, type StackedModel, stackLinears } from './stack-linears.ts'

export interface ServingProgram {
  /** Feeds are the graph's own (masks, positions, rows, cache); the rest is added here. */
  run(feeds: ReadonlyMap<string, Tensor>, adapter: Adapter | undefined): Promise<Map<string, Tensor>>
  dispose(): Promise<void>
}

export interface ServingOptions {
  readonly model: ModelGraph
  readonly weights: BaseWeights
  readonly backend: Backend
  readonly accuracy: Accuracy
  /** An adapter that slots cannot serve gets a program of its own, for its configuration. Absent: slots for any other adapter. */
  readonly attached?: Pick<Adapter, 'kind' | 'config'>
  /** What the slots hold; 'plain' unless said. */
  readonly slots?: SlotKind
  /** Where an adapter's forms come from, when somebody keeps them; else they are made when it is first run. */
  readonly formsOf?: (adapter: Adapter) => Promise<ServingForms>
}

/**
 * From least to most: two matrices a layer; also a factor of each output (DoRA); also a shift of each output, and a factor of each input in
 * layers that are not stacked (IA3). Every vector costs an input and a pass over the outputs, at one token as much as the detour.
 */
export const slotKinds = ['plain', 'scaled', 'all'] as const
export type SlotKind = (typeof slotKinds)[number]

/** Linear layers that share one product: those of weights of one form. */
export const stackedModel = (model: ModelGraph, weights: BaseWeights): StackedModel =>
  stackLinears(model, (weight) => JSON.stringify(weights.formOf(weight)))

/** A model with slots: the stacked one for a program, the single one for what an adapter must fit. */
export function withSlots(model: ModelGraph, stacks: readonly LinearStack[], kind: SlotKind): ModelGraph {
  if (kind !== 'all') return attachSlots(model, { v: kind === 'scaled' })
  const stacked = new Set(stacks.flatMap(({ module, parts }) => [module, ...parts.map((part) => part.module)]))
  return attachSlots(model, { v: true, shift: true, u: ({ path }) => !stacked.has(path) })
}

/** Named ranks are equal only within a block's graph; once blocks are chained every module's rank is its own. */
function withOwnRanks(graph: Graph): Graph {
  const inputs = new Map(
    graph.inputs.map((input) => {
      const module = input.name.slice(0, input.name.lastIndexOf('.'))
      const shape = input.shape.map((dim) => (typeof dim === 'string' && dim.startsWith('R:') ? `R:${module}` : dim))
      return [input.name, input.role === 'adapter' ? { ...input, shape } : input] as const
    }),
  )
  return rewrite(
    { ...graph, inputs: [...inputs.values()] },
    '%ranks',
    (g, { operation, inputs: given, attributes }) =>
    g.op(operation, given.map((value) => inputs.get(value.name) ?? value), attributes), // prettier-ignore
  )
}

/** The graph that is compiled: x from embedding rows, attention over a cache, logits where asked for. */
export function servingGraph({ model, weights, accuracy, attached, slots = 'plain' }: Omit<ServingOptions, 'backend'>): {
  graph: Graph
  stacks: readonly LinearStack[]
} {
  // An attached graph names its adapter's inputs after single modules, so its layers stay apart.
  const { model: stacked, stacks } = attached ? { model, stacks: [] } : stackedModel(model, weights)
  const detoured = attached ? attach(stacked, attached) : withSlots(stacked, stacks, slots)
  const chained = withLogitRows(withEmbeddingRows(withCache(withOwnRanks(composeBlocks(detoured.blocks)))))
  const stackOf = new Map(stacks.map((stack) => [stack.weight, stack]))
  const formOfWeight = (weight: string) => weights.formOf(stackOf.get(weight)?.parts[0]!.weight ?? weight)
  return { graph: packLinears(chained, formOfWeight, accuracy), stacks }
}

/** Weight inputs of the graph: packed ones and vectors become part of the program, float matrices are fed without a copy. */
async function weightInputs(graph: Graph, { weights, accuracy }: ServingOptions, stacks: readonly LinearStack[]) {
  const stackOf = new Map(
    stacks.flatMap((stack) => [[stack.weight, stack] as const, ...(stack.bias ? [[stack.bias, stack] as const] : [])]),
  )
  const initializers = new Map<string, Tensor>()
  const fed = new Map<string, Tensor>()
  for (const { name, role, shape } of graph.inputs) {
    if (role !== 'weight' || initializers.has(name)) continue
    const weight = packedWeightName(name)
    const stack = stackOf.get(weight)
    if (weight !== name) {
      const parts = await Promise.all((stack?.parts.map((part) => part.weight) ?? [weight]).map((part) => weights.packed(part)))
      for (const [input, tensor] of packedInputs(weight, stackPacked(parts), accuracy)) initializers.set(input, tensor)
    } else if (stack) initializers.set(name, await stackedBias(stack, weights))
    else (shape.length > 1 ? fed : initializers).set(name, await weights.float(name))
  }
  return { initializers, fed }
}

async function stackedBias({ parts }: LinearStack, weights: BaseWeights): Promise<F32Tensor> {
  const biases = await Promise.all(parts.map(({ bias }) => weights.float(bias!)))
  const values = biases.flatMap(({ data }) => [...data])
  return f32([values.length], values)
}

/** Compiles the program. Throws NotFoundError for a weight the store does not have. */
export async function createServingProgram(options: ServingOptions): Promise<ServingProgram> {
  const { model, weights, backend, attached, formsOf = (adapter) => readServingForms(adapter, model, weights.once) } = options
  const { graph, stacks } = servingGraph(options)
  const { initializers, fed } = await weightInputs(graph, options, stacks)
  const program = await backend.compile(graph, { initializers })

  const slotted = attached ? undefined : withSlots(model, stacks, options.slots ?? 'plain')
  const tensorsOf = async (adapter: Adapter): Promise<ReadonlyMap<string, Tensor>> =>
    slotted ? stackAdapter(slotTensors(await formsOf(adapter), slotted), stacks) : adapterFeeds(adapter)
  const known = new WeakMap<Adapter, Promise<ReadonlyMap<string, Tensor>>>()
  const base = slotted ? stackAdapter(slotTensors(new Map(), slotted), stacks) : new Map<string, Tensor>()
  const adapterTensors = async (adapter: Adapter | undefined): Promise<ReadonlyMap<string, Tensor>> => {
    if (!adapter) return base
    const tensors = known.get(adapter) ?? tensorsOf(adapter)
    known.set(adapter, tensors)
    return tensors
  }
  return {
    run: async (feeds, adapter) => program.run(new Map([...fed, ...(await adapterTensors(adapter)), ...feeds])),
    dispose: () => program.dispose(),
  }
}
