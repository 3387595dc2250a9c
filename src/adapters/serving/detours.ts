// Detours: inputs for the low-rank parts and vectors of many adapters at once, in the forms that
// serving in steps feeds: one adapter for all rows, or the rows of each adapter as one product.
// Independent of where the tensors are kept and of which row has which adapter.

import { checkOptions, flag, naturalNumber, unchecked } from '../../base/schema.ts'
import type { GraphBuilder } from '../../graph/builder.ts'
import type { Value } from '../../graph/ir.ts'
import type { ModelGraph, ModuleInfo } from '../../graph/model-graph.ts'
import { buildActivation } from '../activation.ts'
import { type AdaptableLayer, mapLayers } from '../adapted-layers.ts'

export interface DetourOptions {
  /**
   * Sets of adapters of one rank each whose rows are grouped by adapter. 0: one adapter, of any
   * rank, for all rows. Default 0.
   */
  readonly sets?: number
  /** Whether one adapter for all rows has a low-rank part. Default true. */
  readonly matrices?: boolean
  /** Also a factor of each output, a shift of each output, and for some layers of each input. */
  readonly vectors?: boolean
  /** Which layers have a factor of each input, where there are vectors. Default: none. */
  readonly u?: (module: ModuleInfo) => boolean
  /**
   * One adapter for all tokens of one sequence: A·x such that a token's numbers do not depend on how
   * many tokens go with it, from the feed `rank.chunk` i64 [1] (see chunkedProduct).
   */
  readonly chunked?: boolean
  /** One adapter for all rows: also the feed `active`, which selects the tokens it acts on. */
  readonly activation?: boolean
}

const detourFields = {
  sets: naturalNumber,
  matrices: flag(),
  vectors: flag(),
  chunked: flag(),
  u: unchecked('a function of a module'),
  activation: flag(),
}

/** Rows of A that are multiplied at a time: i64 [1], a divisor of every rank of at most 16. */
export const RANK_CHUNK = 'rank.chunk'

/** Which vector each row has: i64 [N, 1]. */
export const VECTOR_INDEX = 'vector.index'

/** Feeds of set `set`: rows of the batch at each place, factors of each place, places of the rows. */
export const toGroupName = (set: number, part: 'rows' | 'gain' | 'back'): string =>
  `group.${set}.${part}`

/** The module's matrix in set `set`: 'model.layers.0.mlp.down_proj' → '….down_proj.0.A'. */
export const toSetName = (module: string, set: number, matrix: 'A' | 'B'): string =>
  `${module}.${set}.${matrix}`

/**
 * Gives the linear layers inside the model's layers inputs for adapters: y = v ⊙ (W·(u⊙x) + bias +
 * low-rank) + shift.
 * One adapter: low-rank = B·A·(u⊙x) with `<module>.A` [R, in] and `<module>.B` [out, R]; R may be 0.
 * Sets: for each set s `<module>.s.A` [G, R, in] and `<module>.s.B` [G, out, R] of its G adapters.
 * `group.s.rows` i64 [G, M] says which row stands at place (g, m), `group.s.gain` f32 [G, M, 1] is a
 * factor of A·x there, and `group.s.back` i64 [N, T] says at which of the G·M places each row
 * stands. A place of gain 0 gives exact zeros.
 * Vectors: `<module>.v` [Gv, out], `<module>.shift` [Gv, out], `<module>.u` [Gv, in], of which
 * `vector.index` i64 [N, 1] picks one for each row.
 */
export function attachDetours(model: ModelGraph, options: DetourOptions = {}): ModelGraph {
  checkOptions('attachDetours options', options, detourFields)
  return mapLayers(model, (g, layer) =>
    layer.module.kind === 'linear' && layer.module.layer !== undefined
      ? buildDetour(g, layer, options)
      : undefined,
  )
}

function buildDetour(g: GraphBuilder, layer: AdaptableLayer, options: DetourOptions): Value {
  const { sets = 0, matrices = true, vectors = false, u = () => false } = options
  const { activation, chunked = false } = options
  const { node, module, name } = layer
  const vector = (part: string, length: number): Value =>
    g.op('gatherRows', [
      g.input(`${name}.${part}`, 'f32', ['Gv', length], 'adapter'),
      g.input(VECTOR_INDEX, 'i64', ['N', 1]),
    ]) // [N, 1, length]
  const isFactored = vectors && u(module)
  const x = isFactored ? g.multiply(layer.x, vector('u', module.inFeatures)) : layer.x
  const inputs = node.inputs.map((value) => (value.name === layer.x.name ? x : value))
  const activate = (value: Value): Value =>
    activation ? g.multiply(value, buildActivation(g, x)) : value
  let y = g.op(node.operation, inputs, node.attributes)
  if (matrices && sets === 0) y = g.add(y, buildShared(g, layer, x, activate, chunked))
  for (let set = 0; set < sets; set++) y = g.add(y, buildGrouped(g, layer, x, set))
  if (!vectors) return y
  const scaled = g.multiply(y, vector('v', module.outFeatures))
  return g.add(scaled, activate(vector('shift', module.outFeatures)))
}

/** B·A·x of one adapter for all rows. */
function buildShared(
  g: GraphBuilder,
  { module, name }: AdaptableLayer,
  x: Value,
  activate: (value: Value) => Value,
  chunked: boolean,
): Value {
  const rank = `R:${name}`
  const A = g.input(`${name}.A`, 'f32', [rank, module.inFeatures], 'adapter')
  const B = g.input(`${name}.B`, 'f32', [module.outFeatures, rank], 'adapter')
  const low = chunked
    ? g.op('chunkedProduct', [x, A, g.input(RANK_CHUNK, 'i64', [1])])
    : g.matmul(x, A, { transB: true }) // [.., R]
  return g.matmul(activate(low), B, { transB: true })
}

/** B·A·x of each row's own adapter of a set: one product for each adapter. */
function buildGrouped(
  g: GraphBuilder,
  { module, name }: AdaptableLayer,
  x: Value,
  set: number,
): Value {
  const groups = `G${set}`
  const members = `M${set}`
  const rank = `R:${name}.${set}`
  const matrix = (which: 'A' | 'B', shape: [string | number, string | number]): Value =>
    g.input(toSetName(name, set, which), 'f32', [groups, ...shape], 'adapter')
  const places = g.input(toGroupName(set, 'rows'), 'i64', [groups, members])
  const gain = g.input(toGroupName(set, 'gain'), 'f32', [groups, members, 1])
  const back = g.input(toGroupName(set, 'back'), 'i64', ['N', 'T'])
  const low = g.matmul(g.op('gatherRows', [x, places]), matrix('A', [rank, module.inFeatures]), {
    transB: true,
  }) // [G, M, R]
  const high = g.matmul(g.multiply(low, gain), matrix('B', [module.outFeatures, rank]), {
    transB: true,
  }) // [G, M, out]
  return g.op('gatherRows', [high, back]) // [N, T, out]
}
