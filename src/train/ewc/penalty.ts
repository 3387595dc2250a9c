// The penalty that protects past tasks, in the space of ΔW: two adapters with the same change are
// equal here, whatever their A and B. A change is never materialised: U·V of rank 2R represents it.

import { type Mismatch, MismatchError } from '../../base/errors.ts'
import type { F32Tensor, Tensor } from '../../base/tensor.ts'
import {
  createMatrix,
  type Matrix,
  sliceRows,
  transpose,
  createZeros,
} from '../../base/linalg/matrix.ts'
import { multiply } from '../../base/linalg/matmul.ts'
import { getFastKernels } from '../../base/linalg/simd.ts'
import type { Penalty } from '../optimizers/penalty.ts'
import type { LoraLayer } from './lora-layers.ts'
import type { EwcState, ProtectedModule } from './state.ts'

type Single = Matrix<Float32Array>

const createSingleMatrix = (rows: number, columns: number): Single =>
  createMatrix(rows, columns, new Float32Array(rows * columns))

/** Buffers of one module: copies of U and V, and their weighted products. */
interface Workspace {
  readonly site: LoraLayer
  readonly kept: ProtectedModule
  readonly ranks: number // R now and R of the anchor
  readonly v: Single // [ranks, in]: A over A*
  readonly vWeighted: Single // [ranks, in]: V·diag(c)
  readonly u: Single // [ranks, out]: s·Bᵀ over −B*ᵀ
  readonly uWeighted: Single // [ranks, out]: Uᵀ·diag(r)
}

function createWorkspace(site: LoraLayer, kept: ProtectedModule): Workspace {
  const [anchorRank, inFeatures] = kept.anchorA.shape as [number, number]
  const outFeatures = kept.anchorB.shape[0]!
  const ranks = site.rank + anchorRank
  const v = createSingleMatrix(ranks, inFeatures)
  const u = createSingleMatrix(ranks, outFeatures)
  v.data.set(kept.anchorA.data, site.rank * inFeatures)
  const { data } = kept.anchorB
  for (let k = 0; k < anchorRank; k++)
    for (let i = 0; i < outFeatures; i++)
      u.data[(site.rank + k) * outFeatures + i] = -data[i * anchorRank + k]!
  const room = {
    site,
    kept,
    ranks,
    v,
    u,
    vWeighted: createSingleMatrix(ranks, inFeatures),
    uWeighted: createSingleMatrix(ranks, outFeatures),
  }
  weigh(room.v, kept.fisherIn.data, room.vWeighted, 0)
  weigh(room.u, kept.fisherOut.data, room.uWeighted, 0)
  return room
}

/** target = source·diag(weights), rows before `end` (all where 0). */
function weigh(source: Single, weights: Float32Array, target: Single, end: number): void {
  const { columns, rows } = source
  for (let k = 0; k < (end || rows); k++)
    for (let j = 0; j < columns; j++)
      target.data[k * columns + j] = source.data[k * columns + j]! * weights[j]!
}

function refresh(
  { site, kept, v, u, vWeighted, uWeighted }: Workspace,
  a: Float32Array,
  b: Float32Array,
): void {
  v.data.set(a)
  const { rank, scale } = site
  const outFeatures = u.columns
  for (let i = 0; i < outFeatures; i++)
    for (let k = 0; k < rank; k++) u.data[k * outFeatures + i] = scale * b[i * rank + k]!
  weigh(v, kept.fisherIn.data, vWeighted, rank)
  weigh(u, kept.fisherOut.data, uWeighted, rank)
}

/**
 * Throws MismatchError with every module that the adapter does not change, or changes with another
 * size.
 */
function checkFits(state: EwcState, sites: readonly LoraLayer[]): void {
  const sizes = new Map(
    sites.map(({ path, inFeatures, outFeatures }) => [path, `${inFeatures} → ${outFeatures}`]),
  )
  const mismatches = [...state.modules].flatMap(([path, kept]): Mismatch[] => {
    const { fisherIn, fisherOut, anchorA, anchorB } = kept
    const got = `${fisherIn.shape[0]} → ${fisherOut.shape[0]}`
    const isWhole =
      anchorA.shape[1] === fisherIn.shape[0] &&
      anchorB.shape[0] === fisherOut.shape[0] &&
      anchorA.shape[0] === anchorB.shape[1]
    const expected = sizes.get(path)
    if (isWhole && got === expected) return []
    return [
      {
        name: path,
        got: isWhole ? got : 'parts of different sizes',
        expected: expected ?? 'no such module in the adapter',
      },
    ]
  })
  if (mismatches.length > 0)
    throw new MismatchError(
      'The state of earlier tasks does not fit the adapter',
      mismatches,
      'Continue from the expert in whose folder it was written.',
    )
}

/** Gram matrix of rows under a diagonal weight: [ranks, ranks]. */
function computeGram(rows: Single, weighted: Single): Matrix<Float64Array> {
  const result = createZeros(rows.rows, rows.rows)
  multiply(result, rows, transpose(weighted), { symmetric: true })
  return result
}

/**
 * λ/2 · weight · Σ_modules Σ_ij r_i·c_j·(ΔW − ΔW*)_ij² ΔW − ΔW* = U·V, U = [s·B | −B*], V = [A over
 * A*]
 *
 * As (V·diag(c)·Vᵀ) and (Uᵀ·diag(r)·U) are [2R, 2R], a step costs about 8·R²·(in + out)
 * multiplications a module: no matrix of ΔW's size is made. Modules that the state does not know
 * are free. Throws MismatchError if the state knows modules that the adapter does not change, or of
 * other sizes.
 */
export function createEwcPenalty(
  state: EwcState,
  lambda: number,
  sites: readonly LoraLayer[],
): Penalty {
  checkFits(state, sites)
  const rooms = sites.flatMap((site) => {
    const kept = state.modules.get(site.path)
    return kept ? [createWorkspace(site, kept)] : []
  })
  const strength = lambda * state.weight
  return {
    add(parameters, gradients) {
      let total = 0
      for (const room of rooms) total += addModule(room, strength, parameters, gradients)
      return total
    },
  }
}

function addModule(
  room: Workspace,
  strength: number,
  parameters: ReadonlyMap<string, F32Tensor>,
  gradients: ReadonlyMap<string, Pick<Tensor, 'data'>>,
): number {
  const { site, v, u, vWeighted, uWeighted, ranks } = room
  refresh(room, parameters.get(site.a)!.data, parameters.get(site.b)!.data)
  const inner = computeGram(v, vWeighted)
  const outer = computeGram(u, uWeighted)
  let sum = 0
  for (let k = 0; k < ranks * ranks; k++) sum += inner.data[k]! * outer.data[k]!
  const kernel = getFastKernels().f32
  const gradientA = gradients.get(site.a)?.data
  const gradientB = gradients.get(site.b)?.data
  if (gradientA) {
    // ∂/∂V = λ·(Uᵀ·diag(r)·U)·V·diag(c); A is its first R rows
    const result = createSingleMatrix(site.rank, v.columns)
    multiply(result, sliceRows(outer, 0, site.rank), vWeighted, { kernel })
    addScaled(gradientA as Float32Array, result.data, strength)
  }
  if (gradientB) {
    // ∂/∂Uᵀ = λ·(V·diag(c)·Vᵀ)·Uᵀ·diag(r); B is its first R rows, transposed, times s
    const result = createSingleMatrix(site.rank, u.columns)
    multiply(result, sliceRows(inner, 0, site.rank), uWeighted, { kernel })
    addTransposed(gradientB as Float32Array, result, strength * site.scale)
  }
  return (strength / 2) * sum
}

function addScaled(into: Float32Array, values: Float32Array, scale: number): void {
  for (let i = 0; i < values.length; i++) into[i]! += scale * values[i]!
}

function addTransposed(into: Float32Array, { rows, columns, data }: Single, scale: number): void {
  for (let k = 0; k < rows; k++)
    for (let i = 0; i < columns; i++) into[i * rows + k]! += scale * data[k * columns + i]!
}
