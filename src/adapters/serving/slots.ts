// Slots: a model whose layers have inputs for low-rank factors of any rank. Any LoRA adapter, or
// none, is served by feeding tensors; nothing is rebuilt.

import { OptionError } from '../../base/errors.ts'
import { checkOptions, flag, unchecked } from '../../base/schema.ts'
import { f32, type F32Tensor } from '../../base/tensor.ts'
import type { GraphBuilder } from '../../graph/builder.ts'
import type { Graph, Value } from '../../graph/ir.ts'
import type { ModelGraph, ModuleInfo } from '../../graph/model-graph.ts'
import { rewrite } from '../../graph/passes/rewrite.ts'
import { ACTIVE, buildActivation } from '../activation.ts'
import type { Adapter } from '../adapter.ts'
import type { WeightOf } from '../kinds/kind.ts'
import {
  createServingError,
  computeServingWeights,
  type ServingWeightMap,
} from './serving-weights.ts'
import { listBlockLayers, mapLayers, type AdaptableLayer } from '../adapted-layers.ts'

export interface SlotOptions {
  /**
   * Which layers get a slot. Default: the linear layers inside the model's layers, without the
   * embedding and the head.
   */
  readonly modules?: (module: ModuleInfo) => boolean
  /** Also inputs for a shift of the output, which adapters with a bias on B need. */
  readonly shift?: boolean
  /** Also inputs for a factor of every output, which DoRA and IA3 need: an element-wise product. */
  readonly v?: boolean
  /**
   * Also inputs for a factor of every input, which IA3 needs for some layers; for these of the
   * layers that have a slot.
   */
  readonly u?: (module: ModuleInfo) => boolean
  /**
   * Tensors for each row of the batch, so that rows may have different adapters: A [N, R, in], B
   * [N, out, R], vectors [N, 1, ..].
   */
  readonly perRow?: boolean
  /**
   * Also the feed `active` [N, T, 1] that selects the tokens the adapter acts on, which adapters
   * with invocation tokens need.
   */
  readonly activation?: boolean
}

const slotOptions = {
  modules: unchecked('a function of a module'),
  shift: flag(),
  v: flag(),
  u: unchecked('a function of a module'),
  perRow: flag(),
  activation: flag(),
}

const isLinearInLayer = ({ kind, layer }: ModuleInfo): boolean =>
  kind === 'linear' && layer !== undefined

/**
 * Gives layers the inputs `<module>.A` [R, in] (embedding: [V, R]) and `<module>.B` [out, R], and
 * where asked for `<module>.shift` [out], `<module>.u` [in] (not of an embedding) and `<module>.v`
 * [out]: y = v ⊙ (W·(u⊙x) + bias + B·(A·(u⊙x))) + shift. R is a separate dimension for each module,
 * and may be 0. With activation, B·A and shift act where `active` is 1.
 */
export function attachSlots(model: ModelGraph, options: SlotOptions = {}): ModelGraph {
  checkOptions('attachSlots options', options, slotOptions)
  const { modules = isLinearInLayer } = options
  return mapLayers(model, (g, layer) =>
    modules(layer.module) ? buildSlot(g, layer, options) : undefined,
  )
}

function buildSlot(g: GraphBuilder, layer: AdaptableLayer, options: SlotOptions): Value {
  const { shift = false, v = false, u = () => false, perRow = false, activation = false } = options
  const { node, module, name } = layer
  const rank = `R:${name}`
  const embedding = module.kind === 'embedding'
  if (embedding && perRow)
    throw new OptionError(`${module.path}: an embedding has no slot for each row of a batch.`)
  const rows = perRow ? [layer.x.shape[0]!] : []
  const A = g.input(
    `${name}.A`,
    'f32',
    embedding ? [module.inFeatures, rank] : [...rows, rank, module.inFeatures],
    'adapter',
  )
  const B = g.input(`${name}.B`, 'f32', [...rows, module.outFeatures, rank], 'adapter')
  const vector = (part: string, length: number): Value =>
    g.input(`${name}.${part}`, 'f32', perRow ? [...rows, 1, length] : [length], 'adapter')
  const x = !embedding && u(module) ? g.multiply(layer.x, vector('u', module.inFeatures)) : layer.x
  const inputs = node.inputs.map((value) => (value.name === layer.x.name ? x : value))
  const base = g.op(node.operation, inputs, node.attributes)
  const activated = (value: Value): Value =>
    activation && !embedding ? g.multiply(value, buildActivation(g, layer.x)) : value
  const low = embedding ? g.op('embedding', [A, x]) : g.matmul(x, A, { transB: true }) // [.., R]
  const adapted = g.add(base, g.matmul(activated(low), B, { transB: true })) // [.., out]
  const scaled = v ? g.multiply(adapted, vector('v', module.outFeatures)) : adapted
  return shift ? g.add(scaled, activated(vector('shift', module.outFeatures))) : scaled
}

/**
 * Chained blocks with a separate rank for every slot, because equal names mean equal ranks only
 * within one block's graph.
 */
export function withOwnRanks(graph: Graph): Graph {
  const inputs = new Map(
    graph.inputs.map((input) => {
      const module = input.name.slice(0, input.name.lastIndexOf('.'))
      const shape = input.shape.map((dim) =>
        typeof dim === 'string' && dim.startsWith('R:') ? `R:${module}` : dim,
      )
      return [input.name, input.role === 'adapter' ? { ...input, shape } : input] as const
    }),
  )
  return rewrite(
    { ...graph, inputs: [...inputs.values()] },
    '%ranks',
    (g, { operation, inputs: given, attributes }) =>
      g.op(
        operation,
        given.map((value) => inputs.get(value.name) ?? value),
        attributes,
      ),
  )
}

interface Slot {
  readonly layer: AdaptableLayer
  /** The vectors it has inputs for: 'u', 'v', 'shift'. */
  readonly vectors: readonly Vector[]
  /** Whether it has the feed that selects tokens. */
  readonly activation: boolean
}

type Vector = 'u' | 'v' | 'shift'
const vectors: readonly Vector[] = ['u', 'v', 'shift']

function collectSlots(model: ModelGraph): Map<string, Slot> {
  return new Map(
    model.blocks.flatMap((block) => {
      const activation = block.graph.inputs.some(({ name }) => name === ACTIVE)
      const inputs = new Set(
        block.graph.inputs.filter(({ role }) => role === 'adapter').map(({ name }) => name),
      )
      return listBlockLayers(block)
        .filter(({ name }) => inputs.has(`${name}.A`))
        .map((layer) => {
          const held = vectors.filter((name) => inputs.has(`${layer.name}.${name}`))
          return [layer.module.path, { layer, vectors: held, activation }] as const
        })
    }),
  )
}

/**
 * What to feed a model with slots, by input name of the composed graph: scales multiplied into B,
 * rank 0 where the adapter does nothing. No adapter: the base. Throws UnsupportedError listing what
 * has no slot or no serving weights; `attach` returns a graph for such adapters.
 */
export const computeServingFeeds = (
  adapter: Adapter | undefined,
  model: ModelGraph,
  weightOf?: WeightOf,
): Map<string, F32Tensor> =>
  toSlotFeeds(adapter ? computeServingWeights(adapter, model, weightOf) : new Map(), model)

/** The same from serving weights. */
export function toSlotFeeds(forms: ServingWeightMap, model: ModelGraph): Map<string, F32Tensor> {
  const slots = collectSlots(model)
  if (slots.size === 0)
    throw new OptionError(
      'computeServingFeeds: the model has no slots; make them with attachSlots.',
    )
  const problems = [...forms].flatMap(([path, form]) => {
    const slot = slots.get(path)
    const lacking: string[] = vectors.filter(
      (name) => form[name] && slot && !slot.vectors.includes(name),
    )
    if (form.invocation && slot && !slot.activation) lacking.push('activation')
    return slot
      ? lacking.map((name) => `${path}: its slot has no ${name}`)
      : [`${path}: has no slot`]
  })
  if (problems.length > 0) throw createServingError(problems)
  const feeds = new Map<string, F32Tensor>()
  for (const [path, { layer, vectors: held }] of slots) {
    const { inFeatures, outFeatures, kind } = layer.module
    const form = forms.get(path)
    feeds.set(`${path}.A`, form?.A ?? f32(kind === 'embedding' ? [inFeatures, 0] : [0, inFeatures]))
    feeds.set(`${path}.B`, form?.B ?? f32([outFeatures, 0]))
    for (const name of held)
      feeds.set(
        `${path}.${name}`,
        form?.[name] ?? createNeutralVector(name, name === 'u' ? inFeatures : outFeatures),
      )
  }
  return feeds
}

/** The vector that changes nothing. */
const createNeutralVector = (name: Vector, length: number): F32Tensor =>
  f32([length], new Float32Array(length).fill(name === 'shift' ? 0 : 1))
