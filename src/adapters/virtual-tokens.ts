// Passes that give virtual tokens their vectors: rows of the embedding, or keys and values inside a
// layer. Everything else in the model treats them as tokens; masks, positions, packing and caches
// need no changes.

import type { Graph } from '../graph/ir.ts'
import type { Block } from '../graph/model-graph.ts'
import { rewrite } from '../graph/passes/rewrite.ts'

/** Replaces ids that the embedding table does not have. */
const insertKnownIds = (graph: Graph): Graph =>
  rewrite(graph, '%known', (g, { operation, inputs, attributes }) =>
    operation === 'embedding'
      ? g.op('embedding', [inputs[0]!, g.op('knownIds', [inputs[1]!])], attributes)
      : undefined,
  )

export const withKnownIds = (block: Block): Block => ({
  ...block,
  graph: insertKnownIds(block.graph),
})

/**
 * The embed block with the rows of the shared input `name` [P, D] at virtual tokens, without the
 * embedding's scale.
 */
export function withVirtualEmbeddings(block: Block, name: string, virtualTokens: number): Block {
  const graph = insertKnownIds(block.graph)
  const x = graph.outputs.get('x')!
  const width = x.shape[x.shape.length - 1]!
  const rest = new Map([...graph.outputs].filter(([output]) => output !== 'x'))
  const placed = rewrite(
    { ...graph, outputs: rest },
    '%virtual',
    () => undefined,
    (g, valueOf) => {
      const rows = g.input(name, 'f32', [virtualTokens, width])
      g.output('x', g.op('replaceVirtual', [valueOf(x), rows, g.input('ids', 'i64', ['N', 'T'])]))
    },
  )
  return { ...block, graph: placed }
}

/**
 * A layer block whose keys and values at virtual tokens are columns of the shared input `name` [P,
 * layers·2·K·d].
 */
export function withVirtualKeys(
  block: Block,
  name: string,
  { virtualTokens, layers }: { readonly virtualTokens: number; readonly layers: number },
): Block {
  const layer = Number(/\.(\d+)\.$/.exec(block.prefix)![1])
  const graph = rewrite(block.graph, '%prefix', (g, { operation, inputs, attributes }) => {
    if (operation !== 'attention') return undefined
    const [q, k, v, ...others] = inputs
    const width = k!.shape[2] as number // K·d
    const prefix = g.input(name, 'f32', [virtualTokens, layers * 2 * width])
    const ids = g.input('ids', 'i64', ['N', 'T'])
    const part = (at: number) => g.slice(prefix, 1, at * width, (at + 1) * width) // [P, K·d]
    const keys = g.op('replaceVirtual', [k!, part(2 * layer), ids])
    const values = g.op('replaceVirtual', [v!, part(2 * layer + 1), ids])
    return g.op('attention', [q!, keys, values, ...others], attributes)
  })
  return { ...block, graph }
}
