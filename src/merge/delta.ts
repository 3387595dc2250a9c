// One adapter's change ΔW of one module's weight: low-rank factors if its kind has them, else rows
// that are computed on demand.

import { OptionError, UnsupportedError } from '../base/errors.ts'
import { multiply } from '../base/linalg/matmul.ts'
import { createMatrix, sliceRows, transpose, type Matrix } from '../base/linalg/matrix.ts'
import { getFastKernels } from '../base/linalg/simd.ts'
import type { Adapter } from '../adapters/adapter.ts'
import { toPeftKey } from '../adapters/keys.ts'
import type {
  AdapterKind,
  BaseReader,
  ModuleTensors,
  ServingWeights,
} from '../adapters/kinds/kind.ts'
import { getKind } from '../adapters/kinds/kind-table.ts'
import { transposeValues } from '../adapters/kinds/matrices.ts'
import { toFloat32 } from '../formats/convert.ts'
import type { ModuleInfo } from '../graph/model-graph.ts'

export interface Delta {
  /**
   * ΔW = b·a, scales included; undefined if ΔW has full rank (IA3, DoRA). b: [out, R], a: [R, in].
   */
  readonly factors:
    { readonly b: Matrix<Float32Array>; readonly a: Matrix<Float32Array> } | undefined
  /** Writes rows first…first + count of ΔW [out, in]. */
  formRows(target: Float32Array, first: number, count: number): void
  /** The change of the bias, [out]. */
  readonly shift: Float32Array | undefined
}

/**
 * What an adapter does to a module. Derived from its kind's serving weights, y = v ⊙ (W·(u⊙x) +
 * bias + B·A·(u⊙x)) + shift; a kind without them is merged into the base's weight, which is then
 * subtracted. Throws UnsupportedError for kinds that change no weight, and the error of `base`
 * where the change depends on a base that was not given.
 */
export function createDelta(
  { kind, config, tensors }: Adapter,
  module: ModuleInfo,
  base: BaseReader,
): Delta {
  const row = getKind(kind)
  const at: ModuleTensors = {
    module,
    base,
    tensor(name) {
      const found = tensors.get(toPeftKey(`${module.path}.${name}`)) ?? tensors.get(name) // VeRA's projections belong to no module
      if (!found) throw new OptionError(`The adapter has no tensor "${module.path}.${name}".`)
      return toFloat32(found)
    },
  }
  const form = row.serve?.(config, at)
  if (form && !form.u && !form.v) return fromFactors(form, module)
  if (form && module.kind === 'linear') return fromScales(form, module, base)
  return fromMerge(row, config, at)
}

function toFactors(
  { A, B }: ServingWeights,
  { kind, inFeatures, outFeatures }: ModuleInfo,
): NonNullable<Delta['factors']> {
  const rank = B.shape[1]!
  const a =
    kind === 'embedding'
      ? transpose(createMatrix(inFeatures, rank, A.data))
      : createMatrix(rank, inFeatures, A.data)
  return { b: createMatrix(outFeatures, rank, B.data), a }
}

function fromFactors(form: ServingWeights, module: ModuleInfo): Delta {
  const { b, a } = toFactors(form, module)
  const kernel = getFastKernels().f32
  return {
    factors: { b, a },
    formRows: (target, first, count) =>
      multiply(createMatrix(count, a.columns, target), sliceRows(b, first, count), a, { kernel }),
    shift: form.shift?.data,
  }
}

/** ΔW = diag(v)·(W + B·A)·diag(u) − W; the bias changes by (v − 1)⊙bias + shift. */
function fromScales(form: ServingWeights, module: ModuleInfo, base: BaseReader): Delta {
  const { inFeatures: columns, outFeatures } = module
  const weight = base('weight')
  const plain = fromFactors(form, module)
  const u = form.u?.data
  const v = form.v?.data
  const shift = form.shift?.data.slice() ?? new Float32Array(outFeatures)
  if (module.bias && v) base('bias').forEach((value, i) => (shift[i]! += (v[i]! - 1) * value))
  return {
    factors: undefined,
    formRows(target, first, count) {
      plain.formRows(target, first, count)
      for (let row = 0; row < count; row++) {
        const scale = v?.[first + row] ?? 1
        const from = (first + row) * columns
        const to = row * columns
        for (let i = 0; i < columns; i++) {
          const value = weight[from + i]!
          target[to + i] = scale * (value + target[to + i]!) * (u ? u[i]! : 1) - value
        }
      }
    },
    shift: module.bias || form.shift ? shift : undefined,
  }
}

function fromMerge(row: AdapterKind, config: Adapter['config'], at: ModuleTensors): Delta {
  if (!row.merge)
    throw new UnsupportedError(
      `${at.module.path}: a ${row.name} adapter changes no weight, so it cannot be merged.`,
    )
  const { inFeatures, outFeatures, kind } = at.module
  const { weight, bias } = row.merge(config, at)
  const own = at.base('weight')
  for (let i = 0; i < weight.length; i++) weight[i]! -= own[i]!
  const whole = kind === 'embedding' ? transposeValues(weight, inFeatures, outFeatures) : weight
  return {
    factors: undefined,
    formRows: (target, first, count) =>
      target.set(whole.subarray(first * inFeatures, (first + count) * inFeatures)),
    shift: bias && bias.map((value, i) => value - at.base('bias')[i]!),
  }
}
