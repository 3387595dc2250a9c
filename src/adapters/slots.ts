// Slots: a model whose layers all have room for a detour of any rank. Any LoRA adapter, or none, is served by feeding tensors; nothing is rebuilt.

import { OptionError, UnsupportedError } from '../base/errors.ts'
import { f32, type F32Tensor } from '../base/tensor.ts'
import { toFloat32 } from '../formats/convert.ts'
import type { GraphBuilder } from '../graph/builder.ts'
import type { Value } from '../graph/ir.ts'
import type { ModelGraph, ModuleInfo } from '../graph/model-graph.ts'
import { baseValues, type Adapter } from './adapter.ts'
import { baseCopyOf } from './base-copy.ts'
import { peftKey } from './keys.ts'
import type { ServingForm, WeightOf } from './kind.ts'
import { kindNamed } from './kinds.ts'
import { layersOfBlock, mapLayers, type Layer } from './site.ts'

export interface SlotOptions {
  /** Which layers get a slot; unless said, the linear layers inside the model's layers: not the embedding, not the head. */
  readonly modules?: (module: ModuleInfo) => boolean
  /** Also room for a shift of the output, which adapters with a bias on B need. */
  readonly shift?: boolean
  /** Also room for factors of the input and the output, which DoRA and IA3 need: two products by element. */
  readonly scales?: boolean
}

const inLayers = ({ kind, layer }: ModuleInfo): boolean => kind === 'linear' && layer !== undefined

/**
 * Gives layers the inputs `<module>.A` [R, in] (embedding: [V, R]) and `<module>.B` [out, R], and where asked for `<module>.shift` [out],
 * `<module>.u` [in] (not of an embedding) and `<module>.v` [out]: y = v ⊙ (W·(u⊙x) + bias + B·(A·(u⊙x))) + shift.
 * R is a dimension of the module's own, and may be 0.
 */
export function attachSlots(model: ModelGraph, options: SlotOptions = {}): ModelGraph {
  const { modules = inLayers } = options
  return mapLayers(model, (g, layer) => (modules(layer.module) ? slotted(g, layer, options) : undefined))
}

function slotted(g: GraphBuilder, layer: Layer, { shift = false, scales = false }: SlotOptions): Value {
  const { node, module, name } = layer
  const rank = `R:${name}`
  const embedding = module.kind === 'embedding'
  const A = g.input(`${name}.A`, 'f32', embedding ? [module.inFeatures, rank] : [rank, module.inFeatures], 'adapter')
  const B = g.input(`${name}.B`, 'f32', [module.outFeatures, rank], 'adapter')
  const vector = (part: string, length: number): Value => g.input(`${name}.${part}`, 'f32', [length], 'adapter')
  const x = scales && !embedding ? g.multiply(layer.x, vector('u', module.inFeatures)) : layer.x
  const inputs = node.inputs.map((value) => (value.name === layer.x.name ? x : value))
  const base = g.op(node.operation, inputs, node.attributes)
  const low = embedding ? g.op('embedding', [A, x]) : g.matmul(x, A, { transB: true }) // [.., R]
  const detoured = g.add(base, g.matmul(low, B, { transB: true })) // [.., out]
  const scaled = scales ? g.multiply(detoured, vector('v', module.outFeatures)) : detoured
  return shift ? g.add(scaled, vector('shift', module.outFeatures)) : scaled
}

interface Slot {
  readonly layer: Layer
  /** The vectors there is room for: 'u', 'v', 'shift'. */
  readonly vectors: readonly Vector[]
}

type Vector = 'u' | 'v' | 'shift'
const vectors: readonly Vector[] = ['u', 'v', 'shift']

function slotsOf(model: ModelGraph): Map<string, Slot> {
  return new Map(
    model.blocks.flatMap((block) => {
      const inputs = new Set(block.graph.inputs.filter(({ role }) => role === 'adapter').map(({ name }) => name))
      return layersOfBlock(block)
        .filter(({ name }) => inputs.has(`${name}.A`))
        .map((layer) => [layer.module.path, { layer, vectors: vectors.filter((name) => inputs.has(`${layer.name}.${name}`)) }] as const)
    }),
  )
}

/**
 * What to feed a model with slots, by input name of the composed graph: scales folded into B, rank 0 where the adapter does nothing.
 * No adapter: the base. Throws UnsupportedError listing what has no slot or no serving form; then `attach` gives a graph that serves it.
 */
export function servingTensors(adapter: Adapter | undefined, model: ModelGraph, weightOf?: WeightOf): Map<string, F32Tensor> {
  const slots = slotsOf(model)
  if (slots.size === 0) throw new OptionError('servingTensors: the model has no slots; make them with attachSlots.')
  const forms = adapter ? formsOf(adapter, slots, model, weightOf) : new Map<string, ServingForm>()
  const feeds = new Map<string, F32Tensor>()
  for (const [path, { layer, vectors: held }] of slots) {
    const { inFeatures, outFeatures, kind } = layer.module
    const form = forms.get(path)
    feeds.set(`${path}.A`, form?.A ?? f32(kind === 'embedding' ? [inFeatures, 0] : [0, inFeatures]))
    feeds.set(`${path}.B`, form?.B ?? f32([outFeatures, 0]))
    for (const name of held) feeds.set(`${path}.${name}`, form?.[name] ?? neutral(name, name === 'u' ? inFeatures : outFeatures))
  }
  return feeds
}

const lacking = (form: ServingForm, slot: Slot): string => vectors.filter((name) => form[name] && !slot.vectors.includes(name)).join(', ')

/** The vector that changes nothing. */
const neutral = (name: Vector, length: number): F32Tensor => f32([length], new Float32Array(length).fill(name === 'shift' ? 0 : 1))

function formsOf(
  { kind, config, tensors }: Adapter,
  slots: ReadonlyMap<string, Slot>,
  model: ModelGraph,
  weightOf: WeightOf | undefined,
): Map<string, ServingForm> {
  const row = kindNamed(kind)
  const forms = new Map<string, ServingForm>()
  const problems: string[] = []
  const unused = new Set([...tensors.keys()].filter((key) => baseCopyOf(key) === undefined))
  for (const block of model.blocks) {
    for (const layer of layersOfBlock(block)) {
      const { module } = layer
      if (row.parameters(config, module).length === 0) continue
      const tensor = (name: string): Float32Array => {
        const key = peftKey(`${module.path}.${name}`)
        const found = tensors.get(key) ?? tensors.get(name)
        unused.delete(tensors.has(key) ? key : name)
        if (!found) throw new OptionError(`The adapter has no tensor "${module.path}.${name}"; check it against the model first.`)
        return toFloat32(found)
      }
      const form = row.serve?.(config, { module, tensor, base: baseValues(layer, block.prefix, weightOf) })
      const slot = slots.get(module.path)
      if (!form) problems.push(`${module.path}: a ${kind} adapter of this configuration has no serving form`)
      else if (!slot) problems.push(`${module.path}: has no slot`)
      else if (lacking(form, slot)) problems.push(`${module.path}: its slot has no ${lacking(form, slot)}`)
      else forms.set(module.path, form)
    }
  }
  // A model whose layers were stacked has other modules than the adapter: it must not pass for one that the adapter leaves alone.
  if (problems.length === 0) problems.push(...[...unused].map((key) => `${key}: the model has no layer for it`))
  if (problems.length > 0) {
    throw new UnsupportedError(
      `The adapter cannot be served from these slots:\n  ${problems.join('\n  ')}\nUse attach, or slots that have room for it.`,
    )
  }
  return forms
}
