// Low-rank branches of many adapters at once: adds inputs for their matrices and vectors, in the
// two forms that the step programs use: one adapter for all rows, or one product for the rows of
// each adapter. Independent of where tensors are stored and of which row has which adapter.

import { checkOptions, flag, naturalNumber, unchecked } from '../../base/schema.ts'
import type { GraphBuilder } from '../../graph/builder.ts'
import type { Dim, Value } from '../../graph/ir.ts'
import type { ModelGraph, ModuleInfo } from '../../graph/model-graph.ts'
import { buildActivation } from '../activation.ts'
import { type AdaptableLayer, mapLayers } from '../adapted-layers.ts'
import { cutIntoUnits, type PartUnits } from './part-units.ts'

export interface DetourOptions {
  /**
   * Number of rank sets, whose rows are grouped by adapter; all adapters of a set have the same
   * rank. 0: one adapter, of any rank, for all rows. Default 0.
   */
  readonly sets?: number
  /** Whether the one adapter for all rows has a low-rank branch. Default true. */
  readonly matrices?: boolean
  /** Also a factor of each output, a shift of each output, and for some layers of each input. */
  readonly vectors?: boolean
  /** Which layers have a factor of each input, where there are vectors. Default: none. */
  readonly u?: (module: ModuleInfo) => boolean
  /**
   * One adapter for all tokens of one sequence: A·x is computed so that a token's results do not
   * depend on the number of tokens in the call, with the feed `rank.chunk` i64 [1] (see
   * chunkedProduct).
   */
  readonly chunked?: boolean
  /** One adapter for all rows: also the feed `active`, which selects the tokens it acts on. */
  readonly activation?: boolean
  /** Widths of the outputs of layers that share a product. Default: the layer is alone. */
  readonly parts?: (module: ModuleInfo) => readonly number[] | undefined
}

const detourFields = {
  sets: naturalNumber,
  matrices: flag(),
  vectors: flag(),
  chunked: flag(),
  u: unchecked('a function of a module'),
  activation: flag(),
  parts: unchecked('a function of a module'),
}

/** Rows of A that are multiplied at a time: i64 [1], a divisor of every rank of at most 16. */
export const RANK_CHUNK = 'rank.chunk'

/** The index of each row's vectors: i64 [N, 1]. */
export const VECTOR_INDEX = 'vector.index'

/** Feeds of set `set`: rows of the batch at each place, and factors of each place. */
export const toGroupName = (set: number, part: 'rows' | 'gain'): string => `group.${set}.${part}`

/** Places of the rows, for layers of `units` units. */
export const toBackName = (set: number, units: number): string => `group.${set}.back.${units}`

/** The module's matrix in set `set`: 'model.layers.0.mlp.down_proj' → '….down_proj.0.A'. */
export const toSetName = (module: string, set: number, matrix: 'A' | 'B'): string =>
  `${module}.${set}.${matrix}`

/**
 * Gives the linear layers inside the model's layers inputs for adapters: y = v ⊙ (W·(u⊙x) + bias) +
 * low-rank + shift, which is linear in the matrices, in v and shift, and in u where v is 1. One
 * adapter: low-rank = B·A·x with `<module>.A` [R, in] and `<module>.B` [out, R]. Where P layers
 * share a product A is [P·R, in], one part's below the other's, and B [U, unit, R]: the parts' rows
 * one below the other, cut into U units of equal width (cutIntoUnits). Each unit meets its own part
 * of A·x. Sets: for each set s `<module>.s.A` [G, P, R, in] and `<module>.s.B` [G, U, unit, R] of
 * its G adapters, with one token in each row. `group.s.rows` i64 [G, 1, M, 2] has the row at
 * position (g, m), as (row, 0); `group.s.gain` f32 [G, 1, M, 1] is a factor of A·x there, and
 * `group.s.back.U` i64 [N, 1, U, 3] has the (g, unit, m) that each row reads; [N, 1, 3] for one
 * unit.
 * A place of gain 0 gives exact zeros.
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
  const { x } = layer
  const scaled = isFactored ? g.multiply(x, vector('u', module.inFeatures)) : x
  const inputs = node.inputs.map((value) => (value.name === x.name ? scaled : value))
  const activate = (value: Value): Value =>
    activation ? g.multiply(value, buildActivation(g, x)) : value
  let y = g.op(node.operation, inputs, node.attributes)
  if (vectors) y = g.multiply(y, vector('v', module.outFeatures))
  const units = cutIntoUnits(options.parts?.(module) ?? [module.outFeatures])
  if (matrices && sets === 0) y = addShared(g, { layer, x, y, activate, units }, chunked)
  for (let set = 0; set < sets; set++) y = g.add(y, buildGrouped(g, layer, x, units, set))
  return vectors ? g.add(y, activate(vector('shift', module.outFeatures))) : y
}

interface SharedDetour {
  readonly layer: AdaptableLayer
  readonly x: Value
  readonly y: Value
  readonly activate: (value: Value) => Value
  readonly units: PartUnits
}

/** y + B·A·x of one adapter for all rows. */
function addShared(g: GraphBuilder, detour: SharedDetour, chunked: boolean): Value {
  const { layer, x, y, activate, units } = detour
  const { module, name } = layer
  const { owners, width } = units
  const parts = owners.at(-1)! + 1
  const rank = `R:${name}`
  const ranks = parts === 1 ? rank : `R:${name}.${parts}`
  const A = g.input(`${name}.A`, 'f32', [ranks, module.inFeatures], 'adapter')
  const shape = parts === 1 ? [module.outFeatures, rank] : [owners.length, width, rank]
  const B = g.input(`${name}.B`, 'f32', shape, 'adapter')
  const low = activate(
    chunked
      ? g.op('chunkedProduct', [x, A, g.input(RANK_CHUNK, 'i64', [1])])
      : g.matmul(x, A, { transB: true }),
  ) // [N, T, P·R]
  if (parts === 1) return g.add(y, g.matmul(low, B, { transB: true }))
  return chunked
    ? addPartByPart(g, { y, low, B }, units)
    : g.add(y, g.op('partsProduct', [low, B], { owners }))
}

/**
 * Adds B·low to each part of y: y [N, T, out], low [N, T, P·R], B [U, unit, R]. The parts are split
 * again after the layer, so nothing is concatenated (passes/cut-joins.ts).
 */
function addPartByPart(
  g: GraphBuilder,
  { y, low, B }: Readonly<Record<'y' | 'low' | 'B', Value>>,
  { owners, width }: PartUnits,
): Value {
  const [rows, tokens, out] = y.shape as [Dim, Dim, number]
  const rank = B.shape[2]!
  const matrices = g.reshape(B, [out, rank])
  const parts = owners.at(-1)! + 1
  const lows = g.reshape(low, [rows, tokens, parts, rank])
  const sums = Array.from({ length: parts }, (_, part) => {
    const start = owners.indexOf(part) * width
    const end = (owners.lastIndexOf(part) + 1) * width
    const own = g.slice(lows, 2, part, part + 1) // [N, T, 1, R]
    const high = g.matmul(own, g.slice(matrices, 0, start, end), { transB: true })
    return g.add(g.slice(y, 2, start, end), g.reshape(high, [rows, tokens, end - start]))
  })
  return g.concat(sums, 2)
}

/** B·A·x of each row's own adapter of a set: one product for each adapter. */
function buildGrouped(
  g: GraphBuilder,
  { module, name }: AdaptableLayer,
  x: Value,
  { owners, width }: PartUnits,
  set: number,
): Value {
  const groups = `G${set}`
  const members = `M${set}`
  const rank = `R:${name}.${set}`
  const units = owners.length
  const matrix = (which: 'A' | 'B', shape: readonly Dim[]): Value =>
    g.input(toSetName(name, set, which), 'f32', [groups, ...shape], 'adapter')
  const back = units === 1 ? ['N', 1, 3] : ['N', 1, units, 3]
  return g.op(
    'groupedProduct',
    [
      x,
      matrix('A', [owners.at(-1)! + 1, rank, module.inFeatures]),
      matrix('B', [units, width, rank]),
      g.input(toGroupName(set, 'rows'), 'i64', [groups, 1, members, 2]),
      g.input(toGroupName(set, 'gain'), 'f32', [groups, 1, members, 1]),
      g.input(toBackName(set, units), 'i64', back),
    ],
    { owners },
  )
}
