// How large an adapter's change ΔW is, module by module, and how far one adapter's lies from
// another's. Where ΔW = B·A, through Gram matrices:
//
//     ‖B·A‖² = Σ (BᵀB) ⊙ (A·Aᵀ)     B'·A' − B·A = [B' − B, B]·[A'; A' − A]

import { type Adapter, baseValues, checkAdapter } from '../adapters/adapter.ts'
import type { BaseValues } from '../adapters/kinds/kind.ts'
import { kindNamed } from '../adapters/kinds/kind-table.ts'
import type { LoraConfig } from '../adapters/kinds/lora-config.ts'
import { layersOfBlock } from '../adapters/adapted-layers.ts'
import { toldModules } from '../adapters/files/modules-from-tensors.ts'
import { OptionError } from '../base/errors.ts'
import { multiply } from '../base/linalg/matmul.ts'
import { at, matrixOf, transpose, zeros, type Matrix } from '../base/linalg/matrix.ts'
import type { ModuleInfo } from '../graph/model-graph.ts'
import { type Delta, deltaOf } from './delta.ts'
import type { MergeBase } from './sources.ts'

export interface ModuleChange {
  readonly module: ModuleInfo
  /** ‖ΔW‖_F */
  readonly norm: number
  /**
   * False where the change depends on a base that was not given: then this is ‖s·B·A‖_F alone, as
   * of a DoRA.
   */
  readonly whole: boolean
}

export interface ModuleError {
  readonly module: ModuleInfo
  /** ‖ΔW' − ΔW‖_F / ‖ΔW‖_F; 0 where ΔW is zero and stays so. */
  readonly error: number
}

export interface AdapterError {
  /**
   * Over all modules: √(Σ ‖ΔW' − ΔW‖²) / √(Σ ‖ΔW‖²). undefined where no ΔW is known without the
   * base.
   */
  readonly overall: number | undefined
  readonly modules: readonly ModuleError[]
}

/**
 * ‖ΔW‖_F of every module that the adapter touches, scales folded in, in the model's order, or
 * without a base in the order of the tensors. Without one, modules are left out whose sizes (VeRA)
 * or change (IA3) the adapter alone does not tell. Throws MismatchError where it does not fit the
 * base.
 */
export function adapterChange(adapter: Adapter, base?: MergeBase): ModuleChange[] {
  return [...changesOf(adapter, base)].map(({ module, delta, whole }) => ({
    module,
    norm: Math.sqrt(squares(delta, module)),
    whole,
  }))
}

/**
 * How far ΔW of `after` lies from that of `before`, two forms of one adapter, as before and after
 * rounding. Throws what adapterChange throws.
 */
export function adapterError(before: Adapter, after: Adapter, base?: MergeBase): AdapterError {
  const others = new Map(
    [...changesOf(after, base)].map(({ module, delta }) => [module.path, delta]),
  )
  let difference = 0
  let size = 0
  const modules = [...changesOf(before, base)].map(({ module, delta }): ModuleError => {
    const other = others.get(module.path)
    const apart = other ? distance(delta, other, module) : squares(delta, module)
    const whole = squares(delta, module)
    difference += apart
    size += whole
    return { module, error: ratio(apart, whole) }
  })
  return { overall: modules.length > 0 ? ratio(difference, size) : undefined, modules }
}

const ratio = (difference: number, size: number): number =>
  difference === 0 ? 0 : Math.sqrt(difference / size)

interface Change {
  readonly module: ModuleInfo
  readonly delta: Delta
  readonly whole: boolean
}

function* changesOf(adapter: Adapter, base: MergeBase | undefined): Generator<Change> {
  const row = kindNamed(adapter.kind)
  if (!row.merge) return
  if (base) checkAdapter(adapter, base.model)
  for (const { module, values } of base
    ? modulesIn(base)
    : toldModules(adapter).map((told) => ({ module: told, values: noBase }))) {
    if (base && row.parameters(adapter.config, module).length === 0) continue
    const found = changeAt(adapter, module, values)
    if (found) yield { module, ...found }
  }
}

const modulesIn = ({ model, weightOf }: MergeBase): { module: ModuleInfo; values: BaseValues }[] =>
  model.blocks.flatMap((block) =>
    layersOfBlock(block).map((layer) => ({
      module: layer.module,
      values: baseValues(layer, block.prefix, weightOf),
    })),
  )

const noBase: BaseValues = () => {
  throw new OptionError('The change depends on the base.')
}

function changeAt(
  adapter: Adapter,
  module: ModuleInfo,
  base: BaseValues,
): Omit<Change, 'module'> | undefined {
  const detour = adapter.kind === 'dora' ? { ...adapter, kind: 'lora' } : adapter
  const plain = { ...detour, config: { ...adapter.config, bias: 'none' } as LoraConfig } // a bias of the base's own is no part of ΔW
  return deltaIfKnown(adapter, module, base, true) ?? deltaIfKnown(plain, module, base, false)
}

/** undefined where the base was asked for and not given. */
function deltaIfKnown(
  adapter: Adapter,
  module: ModuleInfo,
  base: BaseValues,
  whole: boolean,
): Omit<Change, 'module'> | undefined {
  let missed = false
  const asked: BaseValues = (part) => {
    missed = true
    const values = base(part)
    missed = false
    return values
  }
  try {
    return { delta: deltaOf(adapter, module, asked), whole }
  } catch (error) {
    if (missed && error instanceof OptionError) return undefined
    throw error
  }
}

/** Rows of a full-rank ΔW that are formed at a time. */
const rowsAtATime = 64

/** ‖ΔW‖² */
function squares(delta: Delta, module: ModuleInfo): number {
  if (delta.factors) return productSquares(delta.factors.b, delta.factors.a)
  return sumOverRows(module, (first, count) => {
    const values = new Float32Array(count * module.inFeatures)
    delta.formRows(values, first, count)
    return values
  })
}

/** ‖ΔW₂ − ΔW₁‖² */
function distance(one: Delta, two: Delta, module: ModuleInfo): number {
  if (one.factors && two.factors && one.factors.b.columns === two.factors.b.columns) {
    const b = subtract(two.factors.b, one.factors.b)
    const a = subtract(two.factors.a, one.factors.a)
    return productSquares(
      beside(b, one.factors.b),
      transpose(beside(transpose(two.factors.a), transpose(a))),
    )
  }
  return sumOverRows(module, (first, count) => {
    const values = new Float32Array(count * module.inFeatures)
    const other = new Float32Array(count * module.inFeatures)
    one.formRows(values, first, count)
    two.formRows(other, first, count)
    return values.map((value, i) => other[i]! - value)
  })
}

function sumOverRows(
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
function productSquares(b: Matrix, a: Matrix): number {
  const bs = zeros(b.columns, b.columns)
  const as = zeros(b.columns, b.columns)
  multiply(bs, transpose(b), b, { symmetric: true })
  multiply(as, a, transpose(a), { symmetric: true })
  return Math.max(
    0,
    bs.data.reduce((sum, value, i) => sum + value * as.data[i]!, 0),
  )
}

const filled = (
  rows: number,
  columns: number,
  value: (row: number, column: number) => number,
): Matrix =>
  matrixOf(
    rows,
    columns,
    Float64Array.from({ length: rows * columns }, (_, i) =>
      value(Math.floor(i / columns), i % columns),
    ),
  )

const subtract = (one: Matrix, two: Matrix): Matrix =>
  filled(one.rows, one.columns, (i, j) => at(one, i, j) - at(two, i, j))

/** [one, two] */
const beside = (one: Matrix, two: Matrix): Matrix =>
  filled(one.rows, one.columns + two.columns, (i, j) =>
    j < one.columns ? at(one, i, j) : at(two, i, j - one.columns),
  )
