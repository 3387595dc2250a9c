// Graph pass: blocks over weights that are kept quantised. Comes after adapters are attached; equal
// blocks share a graph as before.

import type { GraphBuilder } from '../builder.ts'
import type { Graph, Node, Value } from '../ir.ts'
import type { Block } from '../model-graph.ts'
import { prune, rewrite } from './rewrite.ts'
import type { Tensor } from '../../base/tensor.ts'
import { getFrozenForm } from '../quantized-base/frozen-form-table.ts'
import { type BaseWeight, type FrozenWeight, isFrozen } from '../quantized-base/quantize-weight.ts'

const toPartName = (weight: string, part: string): string => `${weight}.${part}`

/** What the pass needs of a frozen weight: everything except its values. */
type Frozen = Pick<FrozenWeight, 'form' | 'shape'>

/**
 * A graph's frozen weights by their names inside it. A tensor with which an adapter replaces a
 * weight is not frozen.
 */
function collectFrozen(
  { graph, prefix }: Block,
  weights: ReadonlyMap<string, BaseWeight>,
): Map<string, Frozen> {
  const frozen = new Map<string, Frozen>()
  for (const { name, role } of graph.inputs) {
    const weight = role === 'weight' ? weights.get(prefix + name) : undefined
    if (weight && isFrozen(weight)) frozen.set(name, { form: weight.form, shape: weight.shape })
  }
  return frozen
}

function replaceNode(
  g: GraphBuilder,
  { operation, inputs, attributes }: Node,
  frozen: ReadonlyMap<string, Frozen>,
): Value | undefined {
  if (!inputs.some(({ name }) => frozen.has(name))) return undefined
  const form = (name: string) => ({ form: frozen.get(name)!.form, weight: frozen.get(name)!.shape })
  const parts = (name: string): Value[] =>
    getFrozenForm(frozen.get(name)!.form)
      .parts(frozen.get(name)!.shape)
      .map((part) => g.input(toPartName(name, part.name), part.dtype, part.shape, 'weight'))
  const [first, second, bias] = inputs
  const module = attributes['module'] === undefined ? {} : { module: attributes['module'] }
  if (operation === 'linear' && frozen.has(second!.name) && !frozen.has(first!.name)) {
    const y = g.op('frozenLinear', [first!, ...parts(second!.name)], {
      ...form(second!.name),
      ...module,
    })
    return bias ? g.add(y, bias) : y
  }
  if (operation === 'embedding')
    return g.op('frozenEmbedding', [second!, ...parts(first!.name)], {
      ...form(first!.name),
      ...module,
    })
  const whole = (value: Value): Value =>
    frozen.has(value.name) ? g.op('frozenWeight', parts(value.name), form(value.name)) : value
  return g.op(operation, inputs.map(whole), attributes)
}

function freezeGraph(graph: Graph, frozen: ReadonlyMap<string, Frozen>): Graph {
  return frozen.size === 0
    ? graph
    : prune(rewrite(graph, '%z', (g, node) => replaceNode(g, node, frozen)))
}

/**
 * Blocks whose linear layers and look-ups read frozen weights in their parts, by the inputs that
 * `collectFrozenFeeds` names; any other node that reads a frozen weight gets it dequantised to f32.
 */
export function freezeBlocks(
  weights: ReadonlyMap<string, BaseWeight>,
): (blocks: readonly Block[]) => readonly Block[] {
  const made = new Map<Graph, Map<string, Graph>>()
  return (blocks) =>
    blocks.map((block): Block => {
      const frozen = collectFrozen(block, weights)
      const known = made.get(block.graph) ?? new Map<string, Graph>()
      made.set(block.graph, known)
      const forms = JSON.stringify([...frozen])
      const graph = known.get(forms) ?? freezeGraph(block.graph, frozen)
      known.set(forms, graph)
      return { ...block, graph }
    })
}

/** What a weight is fed as, by input name. */
export function* collectFrozenFeeds(name: string, weight: BaseWeight): Generator<[string, Tensor]> {
  if (!isFrozen(weight)) return void (yield [name, weight])
  for (const [part, tensor] of weight.parts) yield [toPartName(name, part), tensor]
}
