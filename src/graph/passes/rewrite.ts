// Passes over a graph share one loop: copy node by node into a new builder, replacing the nodes
// that the pass selects.

import { GraphBuilder } from '../builder.ts'
import type { Graph, Node, Value } from '../ir.ts'
import { getOperation } from '../operation-table.ts'

/**
 * Builds the replacement of a node, or returns undefined to keep it as it is. Inputs are already
 * the replaced ones.
 */
export type Replace = (g: GraphBuilder, node: Node) => Value | undefined

/**
 * A prefix that no value of the graph has, so that a pass may run twice: `prefix`, with primes as
 * needed.
 */
export function findFreshPrefix({ nodes, constants }: Graph, prefix: string): string {
  const taken = [...nodes.map(({ output }) => output.name), ...constants.keys()]
  while (taken.some((name) => name.startsWith(prefix))) prefix += "'"
  return prefix
}

/**
 * A new graph in which `replace` was applied to every node. Names made by the pass start with
 * `prefix`.
 */
export function rewrite(
  graph: Graph,
  prefix: string,
  replace: Replace,
  finish?: (g: GraphBuilder, valueOf: (old: Value) => Value) => void,
): Graph {
  const g = new GraphBuilder(findFreshPrefix(graph, prefix))
  for (const input of graph.inputs) g.input(input.name, input.dtype, input.shape, input.role)
  for (const [name, tensor] of graph.constants) g.adoptConstant(name, tensor)
  const renamed = new Map<string, Value>()
  const valueOf = (old: Value): Value => renamed.get(old.name) ?? old
  for (const node of graph.nodes) {
    const current = { ...node, inputs: node.inputs.map(valueOf) }
    const replacement = replace(g, current)
    if (replacement) renamed.set(node.output.name, replacement)
    else g.adopt(current)
  }
  for (const [name, value] of graph.outputs) g.output(name, valueOf(value))
  finish?.(g, valueOf)
  return g.build()
}

/**
 * Expands every composite operation into simpler ones, before differentiation and before conversion
 * to ONNX.
 */
export function expandComposites(graph: Graph): Graph {
  return rewrite(graph, '%x', (g, { operation, inputs, attributes }) =>
    getOperation(operation).expand?.(g, inputs, attributes),
  )
}

/** Drops nodes that no output needs, and inputs that no node reads. */
export function prune(graph: Graph): Graph {
  const wanted = new Set([...graph.outputs.values()].map(({ name }) => name))
  const nodes: Node[] = []
  for (const node of [...graph.nodes].reverse()) {
    if (!wanted.has(node.output.name)) continue
    nodes.unshift(node)
    for (const { name } of node.inputs) wanted.add(name)
  }
  const constants = new Map([...graph.constants].filter(([name]) => wanted.has(name)))
  return {
    inputs: graph.inputs.filter(({ name }) => wanted.has(name)),
    nodes,
    outputs: graph.outputs,
    constants,
  }
}
