// Slots: a model whose layers all have room for a detour of any rank. Any LoRA adapter, or none, is served by feeding tensors; nothing is rebuilt.

import { OptionError, UnsupportedError } from '../base/errors.ts'
import { f32, type F32Tensor } from '../base/tensor.ts'
import { toFloat32 } from '../formats/convert.ts'
import type { GraphBuilder } from '../graph/builder.ts'
import type { Value } from '../graph/ir.ts'
import type { ModelGraph, ModuleInfo } from '../graph/model-graph.ts'
import { baseValues, type Adapter, type WeightOf } from './adapter.ts'
import { peftKey } from './keys.ts'
import type { ServingForm } from './kind.ts'
import { kindNamed } from './kinds.ts'
import { layersOfBlock, mapLayers, type Layer } from './site.ts'

export interface SlotOptions {
  /** Which layers get a slot; unless said, the linear layers inside the model's layers: not the embedding, not the head. */
  readonly modules?: (module: ModuleInfo) => boolean
  /** Also room for a shift of the output, which adapters with a bias on B need. */
  readonly shift?: boolean
}

const inLayers = ({ kind, layer }: ModuleInfo): boolean => kind === 'linear' && layer !== undefined

/**
 * Gives layers the inputs `<module>.A` [R, in] (embedding: [V, R]) and `<module>.B` [out, R], and `<module>.shift` [out] where asked for:
 * y = W·x + B·(A·x) + shift. R is a dimension of the module's own, and may be 0.
 */
export function attachSlots(model: ModelGraph, { modules = inLayers, shift = false }: SlotOptions = {}): ModelGraph {
  return mapLayers(model, (g, layer) => (modules(layer.module) ? slotted(g, layer, shift) : undefined))
}

function slotted(g: GraphBuilder, { node, module, name, x }: Layer, shift: boolean): Value {
  const rank = `R:${name}`
  const embedding = module.kind === 'embedding'
  const A = g.input(`${name}.A`, 'f32', embedding ? [module.inFeatures, rank] : [rank, module.inFeatures], 'adapter')
  const B = g.input(`${name}.B`, 'f32', [module.outFeatures, rank], 'adapter')
  const base = g.op(node.operation, node.inputs, node.attributes)
  const low = embedding ? g.op('embedding', [A, x]) : g.matmul(x, A, { transB: true }) // [.., R]
  const detoured = g.add(base, g.matmul(low, B, { transB: true })) // [.., out]
  return shift ? g.add(detoured, g.input(`${name}.shift`, 'f32', [module.outFeatures], 'adapter')) : detoured
}

interface Slot {
  readonly layer: Layer
  readonly prefix: string
  readonly shift: boolean
}

function slotsOf(model: ModelGraph): Map<string, Slot> {
  return new Map(
    model.blocks.flatMap((block) => {
      const inputs = new Set(block.graph.inputs.filter(({ role }) => role === 'adapter').map(({ name }) => name))
      return layersOfBlock(block)
        .filter(({ name }) => inputs.has(`${name}.A`))
        .map((layer) => [layer.module.path, { layer, prefix: block.prefix, shift: inputs.has(`${layer.name}.shift`) }] as const)
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
  for (const [path, { layer, shift }] of slots) {
    const { inFeatures, outFeatures, kind } = layer.module
    const form = forms.get(path)
    feeds.set(`${path}.A`, form?.A ?? f32(kind === 'embedding' ? [inFeatures, 0] : [0, inFeatures]))
    feeds.set(`${path}.B`, form?.B ?? f32([outFeatures, 0]))
    if (shift) feeds.set(`${path}.shift`, form?.shift ?? f32([outFeatures]))
  }
  return feeds
}

function formsOf(
  { kind, config, tensors }: Adapter,
  slots: ReadonlyMap<string, Slot>,
  model: ModelGraph,
  weightOf: WeightOf | undefined,
): Map<string, ServingForm> {
  const row = kindNamed(kind)
  const forms = new Map<string, ServingForm>()
  const problems: string[] = []
  for (const block of model.blocks) {
    for (const layer of layersOfBlock(block)) {
      const { module } = layer
      if (row.parameters(config, module).length === 0) continue
      const tensor = (name: string): Float32Array => {
        const found = tensors.get(peftKey(`${module.path}.${name}`))
        if (!found) throw new OptionError(`The adapter has no tensor "${module.path}.${name}"; check it against the model first.`)
        return toFloat32(found)
      }
      const form = row.serve?.(config, { module, tensor, base: baseValues(layer, block.prefix, weightOf) })
      const slot = slots.get(module.path)
      if (!form) problems.push(`${module.path}: a ${kind} adapter of this configuration has no serving form`)
      else if (!slot) problems.push(`${module.path}: has no slot`)
      else if (form.shift && !slot.shift) problems.push(`${module.path}: its slot has no shift`)
      else forms.set(module.path, form)
    }
  }
  if (problems.length > 0) {
    throw new UnsupportedError(
      `The adapter cannot be served from these slots:\n  ${problems.join('\n  ')}\nUse attach, or slots that have room for it.`,
    )
  }
  return forms
}
