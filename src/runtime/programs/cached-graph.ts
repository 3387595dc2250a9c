// Graph passes that prepare a model's graph for serving: a cache of earlier keys and values,
// embedding rows as an input, logits only for the rows that need them. Independent of the weights'
// formats and of sampling.

import { assertInternal } from '../../base/errors.ts'
import type { Graph, Value } from '../../graph/ir.ts'
import { prune, rewrite } from '../../graph/passes/rewrite.ts'

/** Input that carries the embedding rows of the ids, f32 [N, T, D]. */
export const EMBEDDING_ROWS = 'embedding.rows'
/** Input that says which of the `hidden` rows get logits, i64 [L]. */
export const LOGIT_ROWS = 'rows.logits'
/** Input with the lengths of past and present, i64 [2] = [C, T]. */
export const SPLIT = 'split'
export const toPastName = (layer: number, part: 'k' | 'v'): string => `past.${layer}.${part}`
export const toEntryName = (layer: number, part: 'k' | 'v'): string => `cache.${layer}.${part}`

/** Output with the states that enter a layer, f32 [N, T, D]. */
export const STATES = 'states'

const isMask = (name: string): boolean => name === 'mask' || name.startsWith('mask.')

/**
 * Attention over a cache of C slots and the T new tokens. Per layer the graph gains inputs
 * past.<layer>.k and .v [N, K, C, d] and outputs cache.<layer>.k and .v [N, K, T, d]; masks grow to
 * [N, 1, T, C+T], and unfilled slots must be masked.
 */
export function withCache(graph: Graph): Graph {
  const inputs = graph.inputs.map((input) =>
    isMask(input.name) ? { ...input, shape: [...input.shape.slice(0, 3), 'C+T'] } : input,
  )
  const entries = new Map<string, Value>()
  let layer = 0
  return rewrite(
    { ...graph, inputs },
    '%kv',
    (g, { operation, inputs: [q, k, v, mask], attributes }) => {
      if (operation !== 'attention') return undefined
      const form = { heads: attributes.kvHeads!, headWidth: attributes.headWidth! }
      const shape = [q!.shape[0]!, form.heads as number, 'C', form.headWidth as number]
      const keys = g.op('cacheEntry', [k!], form)
      const values = g.op('cacheEntry', [v!], form)
      entries.set(toEntryName(layer, 'k'), keys).set(toEntryName(layer, 'v'), values)
      const past = [
        g.input(toPastName(layer, 'k'), 'f32', shape),
        g.input(toPastName(layer, 'v'), 'f32', shape),
      ]
      layer++
      return g.op(
        'cachedAttention',
        [q!, keys, values, ...past, mask!, g.input(SPLIT, 'i64', [2])],
        attributes,
      )
    },
    (g) => entries.forEach((value, name) => g.output(name, value)),
  )
}

/** Adds the value of this name as the output `states`: what enters a layer. */
export function withStates(graph: Graph, name: string): Graph {
  const value = graph.nodes.find(({ output }) => output.name === name)?.output
  assertInternal(value, `the chained graph has no value "${name}"`)
  return { ...graph, outputs: new Map([...graph.outputs, [STATES, value]]) }
}

/**
 * The embedding table leaves the graph: its rows for the ids arrive as an input, gathered from
 * whatever form the table is kept in.
 */
export function withEmbeddingRows(graph: Graph): Graph {
  const weights = new Set(
    graph.inputs.filter(({ role }) => role === 'weight').map(({ name }) => name),
  )
  return prune(
    rewrite(graph, '%rows', (g, { operation, inputs: [table], output }) =>
      operation === 'embedding' && weights.has(table!.name)
        ? g.input(EMBEDDING_ROWS, 'f32', output.shape)
        : undefined,
    ),
  )
}

/**
 * `rows` picks hidden states, a second list picks those that get logits: pooling over a whole text
 * then costs no logits at all.
 */
export function withLogitRows(graph: Graph): Graph {
  const hidden = graph.outputs.get('hidden')
  if (!hidden) return graph
  return rewrite(graph, '%logits', (g, node) => {
    if (node.operation !== 'linear' || node.inputs[0]!.name !== hidden.name) return undefined
    const picked = g.op('gatherRows', [node.inputs[0]!, g.input(LOGIT_ROWS, 'i64', ['L'])])
    return g.op('linear', [picked, ...node.inputs.slice(1)], node.attributes)
  })
}
