// The norm of an adapter's change ΔW by module, and the distance between the changes of two
// adapters. Where ΔW = B·A, through Gram matrices:
//
//     ‖B·A‖² = Σ (BᵀB) ⊙ (A·Aᵀ)     B'·A' − B·A = [B' − B, B]·[A'; A' − A]

import { type Adapter, createBaseReader, checkAdapter } from '../adapters/adapter.ts'
import type { BaseReader } from '../adapters/kinds/kind.ts'
import { getKind } from '../adapters/kinds/kind-table.ts'
import type { LoraConfig } from '../adapters/kinds/lora-config.ts'
import { listBlockLayers } from '../adapters/adapted-layers.ts'
import { inferModules } from '../adapters/files/modules-from-tensors.ts'
import { OptionError } from '../base/errors.ts'
import { multiply } from '../base/linalg/matmul.ts'
import {
  getElement,
  createMatrix,
  transpose,
  createZeros,
  type Matrix,
} from '../base/linalg/matrix.ts'
import type { ModuleInfo } from '../graph/model-graph.ts'
import { type Delta, createDelta } from './delta.ts'
import type { MergeBase } from './sources.ts'

export interface ModuleChange {
  readonly module: ModuleInfo
  /** ‖ΔW‖_F */
  readonly norm: number
  /**
   * False if the change depends on a base that was not given: then this is ‖s·B·A‖_F alone, as of a
   * DoRA.
   */
  readonly whole: boolean
}

export interface ModuleDifference {
  readonly module: ModuleInfo
  /** ‖ΔW' − ΔW‖_F / ‖ΔW‖_F; 0 where ΔW is zero and stays so. */
  readonly error: number
}

export interface AdapterDifference {
  /**
   * Over all modules: √(Σ ‖ΔW' − ΔW‖²) / √(Σ ‖ΔW‖²). undefined if no ΔW is known without the base.
   */
  readonly overall: number | undefined
  readonly modules: readonly ModuleDifference[]
}

/**
 * ‖ΔW‖_F of every module that the adapter touches, scales included, in the model's order. Without a
 * base the order is that of the tensors, and modules whose sizes (VeRA) or change (IA3) depend on
 * the base are left out. Throws MismatchError if it does not fit the base.
 */
export function measureAdapterChange(adapter: Adapter, base?: MergeBase): ModuleChange[] {
  return [...collectChanges(adapter, base)].map(({ module, delta, whole }) => ({
    module,
    norm: Math.sqrt(computeSquaredNorm(delta, module)),
    whole,
  }))
}

/**
 * How far ΔW of `after` is from that of `before`, two forms of one adapter, as before and after
 * rounding. Throws what measureAdapterChange throws.
 */
export function measureAdapterDifference(
  before: Adapter,
  after: Adapter,
  base?: MergeBase,
): AdapterDifference {
  const others = new Map(
    [...collectChanges(after, base)].map(({ module, delta }) => [module.path, delta]),
  )
  let difference = 0
  let size = 0
  const modules = [...collectChanges(before, base)].map(({ module, delta }): ModuleDifference => {
    const other = others.get(module.path)
    const apart = other
      ? computeSquaredDistance(delta, other, module)
      : computeSquaredNorm(delta, module)
    const whole = computeSquaredNorm(delta, module)
    difference += apart
    size += whole
    return { module, error: computeRatio(apart, whole) }
  })
  return { overall: modules.length > 0 ? computeRatio(difference, size) : undefined, modules }
}

const computeRatio = (difference: number, size: number): number =>
  difference === 0 ? 0 : Math.sqrt(difference / size)

interface Change {
  readonly module: ModuleInfo
  readonly delta: Delta
  readonly whole: boolean
}

function* collectChanges(adapter: Adapter, base: MergeBase | undefined): Generator<Change> {
  const row = getKind(adapter.kind)
  if (!row.merge) return
  if (base) checkAdapter(adapter, base.model)
  for (const { module, values } of base
    ? listModules(base)
    : inferModules(adapter).map((inferred) => ({ module: inferred, values: refuseBase }))) {
    if (base && row.parameters(adapter.config, module).length === 0) continue
    const found = findChange(adapter, module, values)
    if (found) yield { module, ...found }
  }
}

const listModules = ({
  model,
  weightOf,
}: MergeBase): { module: ModuleInfo; values: BaseReader }[] =>
  model.blocks.flatMap((block) =>
    listBlockLayers(block).map((layer) => ({
      module: layer.module,
      values: createBaseReader(layer, block.prefix, weightOf),
    })),
  )

const refuseBase: BaseReader = () => {
  throw new OptionError('The change depends on the base.')
}

function findChange(
  adapter: Adapter,
  module: ModuleInfo,
  base: BaseReader,
): Omit<Change, 'module'> | undefined {
  const lowRank = adapter.kind === 'dora' ? { ...adapter, kind: 'lora' } : adapter
  const plain = { ...lowRank, config: { ...adapter.config, bias: 'none' } as LoraConfig } // a bias of the base's own is no part of ΔW
  return findDelta(adapter, module, base, true) ?? findDelta(plain, module, base, false)
}

/** undefined if the base was asked for and not given. */
function findDelta(
  adapter: Adapter,
  module: ModuleInfo,
  base: BaseReader,
  whole: boolean,
): Omit<Change, 'module'> | undefined {
  let missed = false
  const asked: BaseReader = (part) => {
    missed = true
    const values = base(part)
    missed = false
    return values
  }
  try {
    return { delta: createDelta(adapter, module, asked), whole }
  } catch (error) {
    if (missed && error instanceof OptionError) return undefined
    throw error
  }
}

/** Rows of a full-rank ΔW that are formed at a time. */
const rowsAtATime = 64

/** ‖ΔW‖² */
function computeSquaredNorm(delta: Delta, module: ModuleInfo): number {
  if (delta.factors) return computeProductNorm(delta.factors.b, delta.factors.a)
  return sumSquares(module, (first, count) => {
    const values = new Float32Array(count * module.inFeatures)
    delta.formRows(values, first, count)
    return values
  })
}

/** ‖ΔW₂ − ΔW₁‖² */
function computeSquaredDistance(one: Delta, two: Delta, module: ModuleInfo): number {
  if (one.factors && two.factors && one.factors.b.columns === two.factors.b.columns) {
    const b = subtract(two.factors.b, one.factors.b)
    const a = subtract(two.factors.a, one.factors.a)
    return computeProductNorm(
      joinColumns(b, one.factors.b),
      transpose(joinColumns(transpose(two.factors.a), transpose(a))),
    )
  }
  return sumSquares(module, (first, count) => {
    const values = new Float32Array(count * module.inFeatures)
    const other = new Float32Array(count * module.inFeatures)
    one.formRows(values, first, count)
    two.formRows(other, first, count)
    return values.map((value, i) => other[i]! - value)
  })
}

function sumSquares(
  { outFeatures }: ModuleInfo,
  rows: (first: number, count: number) => Float32Array,
): number {
  let sum = 0
  for (let first = 0; first < outFeatures; first += rowsAtATime)
    for (const value of rows(first, Math.min(rowsAtATime, outFeatures - first)))
      sum += value * value
  return sum
}

/** ‖b·a‖² from two Gram matrices [R, R]; rounding may take a zero below it. */
function computeProductNorm(b: Matrix, a: Matrix): number {
  const bs = createZeros(b.columns, b.columns)
  const as = createZeros(b.columns, b.columns)
  multiply(bs, transpose(b), b, { symmetric: true })
  multiply(as, a, transpose(a), { symmetric: true })
  return Math.max(
    0,
    bs.data.reduce((sum, value, i) => sum + value * as.data[i]!, 0),
  )
}

const fillMatrix = (
  rows: number,
  columns: number,
  value: (row: number, column: number) => number,
): Matrix =>
  createMatrix(
    rows,
    columns,
    Float64Array.from({ length: rows * columns }, (_, i) =>
      value(Math.floor(i / columns), i % columns),
    ),
  )

const subtract = (one: Matrix, two: Matrix): Matrix =>
  fillMatrix(one.rows, one.columns, (i, j) => getElement(one, i, j) - getElement(two, i, j))

/** [one, two] */
const joinColumns = (one: Matrix, two: Matrix): Matrix =>
  fillMatrix(one.rows, one.columns + two.columns, (i, j) =>
    j < one.columns ? getElement(one, i, j) : getElement(two, i, j - one.columns),
  )
