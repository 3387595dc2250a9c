// A pass over the layers of a model: finds the nodes that adapters act on, and shares one graph
// among layers with equal results.

import type { GraphBuilder } from '../graph/builder.ts'
import type { Graph, Node, Value } from '../graph/ir.ts'
import type { Block, ModelGraph, ModuleInfo } from '../graph/model-graph.ts'
import { rewrite } from '../graph/passes/rewrite.ts'

/** A node that adapters act on, with what they need to know of it. */
export interface AdaptableLayer {
  readonly node: Node
  readonly module: ModuleInfo
  /** The module's path inside its block. */
  readonly name: string
  readonly x: Value
  readonly weight: Value | undefined
  readonly bias: Value | undefined
}

const numbered = /\.(\d+)\.$/

/** The layer that a node is; undefined unless it has a module path. */
function findLayer(node: Node, prefix: string): AdaptableLayer | undefined {
  const { operation, inputs, attributes } = node
  const name = attributes['module']
  if (typeof name !== 'string') return undefined
  const [first, second, third] = inputs
  const at = (
    kind: ModuleInfo['kind'],
    inFeatures: number,
    outFeatures: number,
    bias = false,
  ): ModuleInfo => {
    const layer = numbered.exec(prefix)?.[1]
    return {
      path: prefix + name,
      kind,
      inFeatures,
      outFeatures,
      bias,
      ...(layer === undefined ? {} : { layer: Number(layer) }),
    }
  }
  if (operation === 'linear') {
    const [outFeatures, inFeatures] = second!.shape as [number, number]
    return {
      node,
      name,
      module: at('linear', inFeatures, outFeatures, third !== undefined),
      x: first!,
      weight: second,
      bias: third,
    }
  }
  if (operation === 'embedding') {
    const [rows, width] = first!.shape as [number, number]
    return {
      node,
      name,
      module: at('embedding', rows, width),
      x: second!,
      weight: first,
      bias: undefined,
    }
  }
  if (operation === 'quantizedLinear') {
    const module = at(
      'linear',
      attributes['inFeatures'] as number,
      attributes['outFeatures'] as number,
    )
    return { node, name, module, x: first!, weight: undefined, bias: undefined }
  }
  return undefined
}

export const listBlockLayers = ({ graph, prefix }: Block): AdaptableLayer[] =>
  graph.nodes.flatMap((node) => {
    const layer = findLayer(node, prefix)
    return layer ? [layer] : []
  })

/** Every layer that adapters may act on, packed ones too. */
export const listAdaptableLayers = (model: ModelGraph): AdaptableLayer[] =>
  model.blocks.flatMap(listBlockLayers)

export const listAdaptableModules = (model: ModelGraph): ModuleInfo[] =>
  listAdaptableLayers(model).map(({ module }) => module)

/** A prefix that no value of the graph has yet, so that passes may follow one another. */
function choosePrefix({ nodes, constants }: Graph): string {
  const taken = [...nodes.map(({ output }) => output.name), ...constants.keys()]
  let prefix = '%a'
  while (taken.some((name) => name.startsWith(prefix))) prefix += 'a'
  return prefix
}

/** Everything that distinguishes two rewrites of one graph. */
function computeStructureKey(graph: Graph, original: Graph): string {
  const constants = [...graph.constants].filter(([name]) => !original.constants.has(name))
  return JSON.stringify([
    graph.inputs,
    graph.nodes,
    [...graph.outputs],
    constants.map(([name, { shape, data }]) => [name, shape, [...data].join()]),
  ])
}

/**
 * Builds a layer's replacement. `claim` marks an input that has a base weight's name as the
 * adapter's.
 */
export type ReplaceLayer = (
  g: GraphBuilder,
  layer: AdaptableLayer,
  claim: (inputName: string) => void,
) => Value | undefined

function mapBlock({ graph, prefix }: Block, replace: ReplaceLayer): Graph {
  const claimed = new Set<string>()
  const mapped = rewrite(graph, choosePrefix(graph), (g, node) => {
    const layer = findLayer(node, prefix)
    return layer && replace(g, layer, (name) => claimed.add(name))
  })
  if (claimed.size === 0) return mapped
  return {
    ...mapped,
    inputs: mapped.inputs.map((input) =>
      claimed.has(input.name) ? { ...input, role: 'adapter' } : input,
    ),
  }
}

/**
 * The model with every layer passed through `replace`. Blocks with equal results share one graph.
 */
export function mapLayers(model: ModelGraph, replace: ReplaceLayer): ModelGraph {
  const made = new Map<Graph, Map<string, Graph>>()
  const blocks = model.blocks.map((block): Block => {
    const mapped = mapBlock(block, replace)
    const known = made.get(block.graph) ?? new Map<string, Graph>()
    made.set(block.graph, known)
    const structure = computeStructureKey(mapped, block.graph)
    const graph = known.get(structure) ?? mapped
    known.set(structure, graph)
    return { ...block, graph }
  })
  return { ...model, blocks }
}
