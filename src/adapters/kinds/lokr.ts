// LoKr: the change of a weight as a Kronecker product of two small matrices. Yeh et al. 2023
// (LyCORIS), arXiv:2309.14859.
//
//     ΔW = s·kron(w1, w2), s = alpha/R     w1: [l, m]   w2: [k, n]   out = l·k   in = m·n
//
// Either may itself be a product of rank R: w1 = w1_a·w1_b, w2 = w2_a·w2_b. ΔW is never computed:
// with X = x as [m, n], ΔW·x = s·w1·X·w2ᵀ.

import { f32 } from '../../base/tensor.ts'
import type { Value } from '../../graph/ir.ts'
import type { ModuleInfo } from '../../graph/model-graph.ts'
import type { Operators } from '../../graph/operation.ts'
import { flag, number, oneOf, readGivenOptions } from '../../base/schema.ts'
import type { AdapterKind, ModuleTensors, ParameterSpec, AdaptedLayer } from './kind.ts'
import {
  completeLycoris,
  getLycorisInput,
  lycorisKeys,
  lycorisOptions,
  resolveLycorisRank,
  readLycoris,
  writeLycoris,
  type LycorisConfig,
} from './lycoris-config.ts'
import { addProduct } from './matrices.ts'
import { readPeftConfig } from './peft-config.ts'
import { drawKaiming, fillZeros } from './initializers.ts'
import { isLinearTarget } from '../targets.ts'

export interface LokrConfig extends LycorisConfig {
  /** Also w1 may be a product of rank R. */
  readonly decomposeBoth: boolean
  /** The smaller side of each dimension's split; −1: as even as possible. */
  readonly decomposeFactor: number
  /** 'zero': w1 is zero. 'lycoris': w2 is. 'random': nothing is. */
  readonly start: 'zero' | 'lycoris' | 'random'
}

const options = {
  ...lycorisOptions,
  decomposeBoth: flag(),
  decomposeFactor: number(),
  start: oneOf(['zero', 'lycoris', 'random']),
}
const peftKeys = {
  ...lycorisKeys,
  decompose_both: flag(),
  decompose_factor: number(),
  init_weights: oneOf<boolean | 'lycoris'>([true, false, 'lycoris']),
}

/**
 * How PEFT splits a dimension into two factors, the smaller first (unless `factor` divides it): 256
 * → 16·16, 128 → 8·16, 127 → 1·127.
 */
export function factorize(dimension: number, factor: number): readonly [number, number] {
  if (factor > 0 && dimension % factor === 0) return [factor, dimension / factor]
  const most = factor === -1 ? dimension : factor
  let small = 1
  let large = dimension
  while (small < large) {
    let next = small + 1
    while (dimension % next !== 0) next++
    if (next + dimension / next > 1 + dimension || next > most) break
    small = next
    large = dimension / next
  }
  return small <= large ? [small, large] : [large, small]
}

/** One of the two matrices: its shape, and whether it is a product of rank R. */
interface Part {
  readonly name: 'lokr_w1' | 'lokr_w2'
  readonly rows: number
  readonly columns: number
  readonly factored: boolean
}

function resolveParts(
  config: LokrConfig,
  module: ModuleInfo,
): { w1: Part; w2: Part; rank: number; scale: number } {
  const { rank, scale } = resolveLycorisRank(config, module)
  const [m, n] = factorize(module.inFeatures, config.decomposeFactor)
  const [l, k] = factorize(module.outFeatures, config.decomposeFactor)
  const factored1 = config.decomposeBoth && rank < Math.max(l, m) / 2
  return {
    w1: { name: 'lokr_w1', rows: l, columns: m, factored: factored1 },
    w2: { name: 'lokr_w2', rows: k, columns: n, factored: rank < Math.max(k, n) / 2 },
    rank,
    scale,
  }
}

function listSpecs(
  { name, rows, columns, factored }: Part,
  rank: number,
  start: 'random' | 'zero' | 'zeroRight',
): ParameterSpec[] {
  const spec = (
    suffix: string,
    shape: readonly [number, number],
    zero: boolean,
  ): ParameterSpec => ({
    name: name + suffix,
    shape,
    trainable: true,
    start: zero ? fillZeros(shape) : drawKaiming(shape),
  })
  if (!factored) return [spec('', [rows, columns], start !== 'random')]
  return [
    spec('_a', [rows, rank], start === 'zero'),
    spec('_b', [rank, columns], start === 'zeroRight'),
  ]
}

/** x·wᵀ over the last axis, w being one matrix or a product of two. */
const applyFactors = (g: Operators, x: Value, factors: readonly Value[]): Value =>
  factors.reduceRight((value, factor) => g.matmul(value, factor, { transB: true }), x)

const listFactorNames = ({ name, factored }: Part): string[] =>
  factored ? [`${name}_a`, `${name}_b`] : [name]

function buildDelta(g: Operators, layer: AdaptedLayer, config: LokrConfig): Value {
  const { w1, w2, scale } = resolveParts(config, layer.module)
  const x = getLycorisInput(config, layer, 'LoKr')
  const lead = x.shape.slice(0, -1)
  const swap = (value: Value): Value =>
    g.transpose(value, [...lead.keys(), lead.length + 1, lead.length])
  const factors2 = listFactorNames(w2).map(layer.parameter)
  // [.., m, R or k]
  const low = applyFactors(g, g.reshape(x, [...lead, w1.columns, w2.columns]), factors2.slice(-1))
  // [.., l, R or k]
  const mixed = swap(applyFactors(g, swap(low), listFactorNames(w1).map(layer.parameter)))
  const whole = applyFactors(g, mixed, factors2.slice(0, -1)) // [.., l, k]
  return g.scale(g.reshape(whole, [...lead, layer.module.outFeatures]), scale)
}

/**
 * A matrix as left·right with as small an inner dimension as its form allows; of a full one, one
 * side is the identity.
 */
function asProduct(
  part: Part,
  rank: number,
  { tensor }: ModuleTensors,
): { left: Float32Array; right: Float32Array; inner: number } {
  const { name, rows, columns, factored } = part
  if (factored) return { left: tensor(`${name}_a`), right: tensor(`${name}_b`), inner: rank }
  return rows <= columns
    ? { left: createIdentity(rows), right: tensor(name), inner: rows }
    : { left: tensor(name), right: createIdentity(columns), inner: columns }
}

function createIdentity(size: number): Float32Array {
  const values = new Float32Array(size * size)
  for (let i = 0; i < size; i++) values[i * size + i] = 1
  return values
}

/** kron(a, b)·factor for a [rowsA, columnsA] and b [rowsB, columnsB]. */
function computeKronecker(
  a: Float32Array,
  [rowsA, columnsA]: [number, number],
  b: Float32Array,
  [rowsB, columnsB]: [number, number],
  factor = 1,
): Float32Array {
  const result = new Float32Array(a.length * b.length)
  let at = 0
  for (let i = 0; i < rowsA; i++)
    for (let k = 0; k < rowsB; k++)
      for (let j = 0; j < columnsA; j++)
        for (let c = 0; c < columnsB; c++)
          result[at++] = factor * a[i * columnsA + j]! * b[k * columnsB + c]!
  return result
}

/**
 * ΔW = B·A exactly: kron(P1·Q1, P2·Q2) = kron(P1, P2)·kron(Q1, Q2), of rank R², R·min(l, m) or so.
 */
function asLowRank(
  config: LokrConfig,
  at: ModuleTensors,
): { A: Float32Array; B: Float32Array; inner: number } {
  const { w1, w2, rank, scale } = resolveParts(config, at.module)
  const one = asProduct(w1, rank, at)
  const two = asProduct(w2, rank, at)
  return {
    A: computeKronecker(one.right, [one.inner, w1.columns], two.right, [two.inner, w2.columns]),
    B: computeKronecker(one.left, [w1.rows, one.inner], two.left, [w2.rows, two.inner], scale),
    inner: one.inner * two.inner,
  }
}

/** w as one matrix. */
function computeMatrix(
  { name, rows, columns, factored }: Part,
  rank: number,
  { tensor }: ModuleTensors,
): Float32Array {
  if (!factored) return tensor(name)
  const result = new Float32Array(rows * columns)
  addProduct(result, tensor(`${name}_a`), tensor(`${name}_b`), [rows, rank, columns], 1)
  return result
}

export const lokr: AdapterKind<LokrConfig, typeof options> = {
  name: 'lokr',
  peftType: 'LOKR',
  effect: 'adds',
  mark: 'lokr_',
  options,

  sizes(shapeOf) {
    const side = (name: string): readonly number[] =>
      shapeOf(name) ?? [shapeOf(`${name}_a`)?.[0] ?? 0, shapeOf(`${name}_b`)?.[1] ?? 0]
    const [l = 0, m = 0] = side('lokr_w1')
    const [k = 0, n = 0] = side('lokr_w2')
    return l * k * m * n === 0
      ? undefined
      : { kind: 'linear', inFeatures: m * n, outFeatures: l * k }
  },

  complete(given) {
    const {
      decomposeBoth = false,
      decomposeFactor = -1,
      start = 'zero',
      ...read
    } = readGivenOptions('LoKr options', given, options)
    return { ...completeLycoris(read), decomposeBoth, decomposeFactor, start }
  },

  readConfig(json, fileName) {
    const read = readPeftConfig(json, peftKeys, ['r', 'alpha', 'target_modules'], fileName)
    const start =
      read.init_weights === 'lycoris' ? 'lycoris' : (read.init_weights ?? true) ? 'zero' : 'random'
    return {
      ...readLycoris(read, json),
      decomposeBoth: read.decompose_both ?? false,
      decomposeFactor: read.decompose_factor ?? -1,
      start,
    }
  },

  writeConfig: (config) => ({
    rank_dropout_scale: false,
    ...writeLycoris(config),
    decompose_both: config.decomposeBoth,
    decompose_factor: config.decomposeFactor,
    init_weights: { zero: true, lycoris: 'lycoris', random: false }[config.start],
  }),

  parameters(config, module) {
    if (!isLinearTarget(config, module, 'LoKr')) return []
    const { w1, w2, rank } = resolveParts(config, module)
    return [
      ...listSpecs(w1, rank, config.start === 'zero' ? 'zero' : 'random'),
      ...listSpecs(w2, rank, config.start === 'lycoris' ? 'zeroRight' : 'random'),
    ]
  },

  apply: (g, layer, config) => g.add(layer.base(), buildDelta(g, layer, config)),

  merge(config, at) {
    const { w1, w2, rank, scale } = resolveParts(config, at.module)
    const change = computeKronecker(
      computeMatrix(w1, rank, at),
      [w1.rows, w1.columns],
      computeMatrix(w2, rank, at),
      [w2.rows, w2.columns],
      scale,
    )
    return { weight: at.base('weight').map((value, i) => value + change[i]!) }
  },

  serve(config, at) {
    const { A, B, inner } = asLowRank(config, at)
    return { A: f32([inner, at.module.inFeatures], A), B: f32([at.module.outFeatures, inner], B) }
  },
}
