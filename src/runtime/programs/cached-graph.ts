// Graph passes that prepare a model's graph for serving: a cache of earlier keys, values and
// states, embedding rows as an input, logits only for the rows that need them. Independent of the
// weights' formats and of sampling.

import { assertInternal } from '../../base/errors.ts'
import { toRecurrenceName, toWindowName } from '../../graph/cache-shape.ts'
import type { GraphBuilder } from '../../graph/builder.ts'
import { addDims, type Dim, type Graph, type Node, type Value } from '../../graph/ir.ts'
import { STEP_BYTES } from '../../graph/ops/cache-elements.ts'
import { buildCachedDelta } from '../../graph/ops/sequence/delta-rule.ts'
import { prune, rewrite } from '../../graph/passes/rewrite.ts'

/** Input that carries the embedding rows of the ids, f32 [N, T, D]. */
export const EMBEDDING_ROWS = 'embedding.rows'
/** Input that selects the `hidden` rows that get logits, i64 [L]. */
export const LOGIT_ROWS = 'rows.logits'
/** Input with the lengths of past and present, i64 [2] = [C, T]. */
export const SPLIT = 'split'
export const toPastName = (layer: number, part: 'k' | 'v'): string => `past.${layer}.${part}`
export const toEntryName = (layer: number, part: 'k' | 'v'): string => `cache.${layer}.${part}`
/** Input that is 1 for tokens of a row and 0 for padding, f32 [N, T, 1]. */
export const HELD_TOKENS = 'tokens.held'
/** The input with a state, and the output with its new value; see StateShape. */
export const toStatePastName = (state: string): string => `past.${state}`
export const toStateEntryName = (state: string): string => `cache.${state}`

/** Output with the states that enter a layer, f32 [N, T, D]. */
export const STATES = 'states'

/**
 * Element type of a cache. f16 rounds to 11 bits: a relative error of at most 2^-11. int8 has one
 * scale for each vector of d values, and an error of at most half a step: 0.4 % of the vector's
 * largest value.
 */
export type KvElement = 'f32' | 'f16' | 'int8'

/** The data type of tensors with these elements. */
export const toKvDtype = (element: KvElement): 'f32' | 'f16' | 'i8' =>
  element === 'int8' ? 'i8' : element

/** How many elements a vector of d values takes. */
export const computeKvWidth = (element: KvElement, headWidth: number): number =>
  element === 'int8' ? headWidth + STEP_BYTES : headWidth

const isMask = (name: string): boolean => name === 'mask' || name.startsWith('mask.')

/** Keys and values of a layer: [N, K, T, d] of the new tokens, [N, K, C, d] of the cache. */
export interface LayerCache {
  readonly keys: Value
  readonly values: Value
  readonly pastKeys: Value
  readonly pastValues: Value
}

/**
 * Replaces attention by the result of `build`, over a cache of C slots and the T new tokens. Per
 * layer the graph gains inputs past.<layer>.k and .v [N, K, C, d] of this element and f32 outputs
 * cache.<layer>.k and .v [N, K, T, d], of int8 both [.., d + 2] in bytes; masks grow to [N, 1, T,
 * C+T], and unfilled slots must be masked. With f16 and int8, new keys and values are rounded
 * before they are used, so that a token reads the same values of earlier tokens, whether they come
 * from the cache or from its own piece. Convolutions get past.conv.<i> [N, L−1, D] and
 * cache.conv.<i> [N, T, D], recurrences past.delta.<i> and cache.delta.<i> [N, H, dk, dv], always
 * of f32.
 */
export function withPast(
  graph: Graph,
  element: KvElement,
  build: (g: GraphBuilder, node: Node, cache: LayerCache) => Value,
): Graph {
  const inputs = graph.inputs.map((input) =>
    isMask(input.name)
      ? { ...input, shape: [...input.shape.slice(0, 3), addDims('C', input.shape[2]!)] }
      : input,
  )
  const entries = new Map<string, Value>()
  let layer = 0
  let convolution = 0
  let recurrence = 0
  return rewrite(
    { ...graph, inputs },
    '%kv',
    (g, node) => {
      const { operation, inputs: given, attributes } = node
      if (operation === 'causalConvolution')
        return buildCachedConvolution(g, given, toWindowName(convolution++), entries)
      if (operation === 'gatedDelta')
        return buildCachedRecurrence(g, node, toRecurrenceName(recurrence++), entries)
      if (operation !== 'attention') return undefined
      const [q, k, v, ...rest] = given
      const form = { heads: attributes['kvHeads']!, headWidth: attributes['headWidth']! }
      const heads = form.heads as number
      const newKeys = roundTo(g, element, k!, heads)
      const newValues = roundTo(g, element, v!, heads)
      const width = computeKvWidth(element, form.headWidth as number)
      const shape = [k!.shape[0]!, heads, 'C', width]
      const keys = g.op('cacheEntry', [newKeys], form)
      const values = g.op('cacheEntry', [newValues], form)
      const toEntry = (x: Value, own: Value): Value =>
        element === 'int8' ? g.op('packVectors', [g.op('cacheEntry', [x], form)]) : own
      entries.set(toEntryName(layer, 'k'), toEntry(k!, keys))
      entries.set(toEntryName(layer, 'v'), toEntry(v!, values))
      const pastKeys = readPast(g, toPastName(layer, 'k'), element, shape)
      const pastValues = readPast(g, toPastName(layer, 'v'), element, shape)
      layer++
      const rounded = { ...node, inputs: [q!, newKeys, newValues, ...rest] }
      return build(g, rounded, { keys, values, pastKeys, pastValues })
    },
    (g) => entries.forEach((value, name) => g.output(name, value)),
  )
}

/**
 * A convolution over new tokens, preceded by the window of earlier tokens, which becomes an input.
 */
function buildCachedConvolution(
  g: GraphBuilder,
  [x, weight]: readonly Value[],
  name: string,
  entries: Map<string, Value>,
): Value {
  const [rows, , width] = x!.shape as [Dim, Dim, Dim]
  const window = (weight!.shape[2] as number) - 1
  entries.set(toStateEntryName(name), x!)
  const past = g.input(toStatePastName(name), 'f32', [rows, window, width])
  return g.op('cachedConvolution', [x!, past, weight!])
}

/**
 * A recurrence over new tokens that starts from the state of earlier tokens, which becomes an
 * input.
 */
function buildCachedRecurrence(
  g: GraphBuilder,
  { inputs, attributes }: Node,
  name: string,
  entries: Map<string, Value>,
): Value {
  const [rows, tokens] = inputs[0]!.shape as [Dim, Dim]
  const { heads, keyWidth, valueWidth } = attributes as Readonly<Record<string, number>>
  const past = g.input(toStatePastName(name), 'f32', [rows, heads!, keyWidth!, valueWidth!])
  const held = (): Value => g.input(HELD_TOKENS, 'f32', [rows, tokens, 1])
  const { y, state } = buildCachedDelta(g, inputs, attributes, past, held)
  entries.set(toStateEntryName(name), state)
  return y
}

/** x [N, T, K·d], rounded to the values that the cache will hold. */
function roundTo(g: GraphBuilder, element: KvElement, x: Value, heads: number): Value {
  if (element === 'f32') return x
  if (element === 'f16') return g.op('roundToHalf', [x])
  const [rows, tokens, width] = x.shape as [Dim, Dim, number]
  const vectors = g.reshape(x, [rows, tokens, heads, width / heads])
  return g.reshape(g.op('unpackVectors', [g.op('packVectors', [vectors])]), x.shape)
}

function readPast(g: GraphBuilder, name: string, element: KvElement, shape: readonly Dim[]): Value {
  const past = g.input(name, toKvDtype(element), shape)
  if (element === 'f32') return past
  return g.op(element === 'f16' ? 'widenHalf' : 'unpackVectors', [past])
}

/** Attention over a cache of C slots and the T new tokens, in plain products. */
export const withCache = (graph: Graph, element: KvElement): Graph =>
  withPast(graph, element, (g, { inputs, attributes }, { keys, values, pastKeys, pastValues }) => {
    const [q, , , mask] = inputs
    const split = g.input(SPLIT, 'i64', [2])
    return g.op(
      'cachedAttention',
      [q!, keys, values, pastKeys, pastValues, mask!, split],
      attributes,
    )
  })

/** Adds the value of this name, the input of a layer, as the output `states`. */
export function withStates(graph: Graph, name: string): Graph {
  const value = graph.nodes.find(({ output }) => output.name === name)?.output
  assertInternal(value, `the chained graph has no value "${name}"`)
  return { ...graph, outputs: new Map([...graph.outputs, [STATES, value]]) }
}

/**
 * Removes the embedding table from the graph: its rows for the ids become an input, so the caller
 * can read them from a table of any type.
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
 * `rows` selects hidden states, and a second list selects those that get logits, so that pooling
 * over a whole text computes no logits.
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
