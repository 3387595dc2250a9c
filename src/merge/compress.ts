// Compresses one adapter: the best factors of a lower rank for each ΔW, and the error. Independent
// of data: the effect on a model's predictions is not measured here.

import type { Adapter } from '../adapters/adapter.ts'
import { toPeftKey } from '../adapters/keys.ts'
import { multiply } from '../base/linalg/matmul.ts'
import {
  getElement,
  createMatrix,
  transpose,
  createZeros,
  type Matrix,
} from '../base/linalg/matrix.ts'
import { OptionError } from '../base/errors.ts'
import { checkOptions } from '../base/schema.ts'
import { mergeContext, methodOptions } from './merge-options.ts'
import { merge, type MergeOptions, type ModuleReport } from './merge.ts'

export interface CompressOptions extends Pick<MergeOptions, 'base' | 'anyBase' | 'onModule'> {
  /** Rank of every module at most. */
  readonly rank?: number | undefined
  /** The smallest rank that keeps this share of Σ σ², in each module separately. */
  readonly energy?: number | undefined
}

export interface CompressedAdapter {
  /** A LoRA adapter of scale 1. */
  readonly adapter: Adapter
  readonly modules: readonly ModuleReport[]
  /** √(Σ ‖ΔW − B·A‖²) / √(Σ ‖ΔW‖²) over all modules. */
  readonly residual: number
}

const computeGram = (m: Matrix): Matrix<Float64Array> => {
  const result = createZeros(m.columns, m.columns)
  multiply(result, transpose(m), m, { symmetric: true })
  return result
}

/** ‖b·a‖² = Σ (bᵀ·b) ⊙ (a·aᵀ), without forming the product. */
function computeSquaredNorm(b: Matrix, a: Matrix): number {
  const left = computeGram(b)
  const right = computeGram(transpose(a))
  let sum = 0
  for (let i = 0; i < b.columns; i++)
    for (let j = 0; j < b.columns; j++) sum += getElement(left, i, j) * getElement(right, i, j)
  return sum
}

/** The norm of what a compressed module does, squared. */
function measureKept({ tensors }: Adapter, module: string): number {
  const tensor = (name: string) => tensors.get(toPeftKey(`${module}.${name}`))
  const [a, b] = tensor('lora_A.weight')
    ? [tensor('lora_A.weight')!, tensor('lora_B.weight')!]
    : [tensor('lora_embedding_A')!, tensor('lora_embedding_B')!]
  const matrix = ({ shape, data }: typeof a): Matrix =>
    createMatrix(shape[0]!, shape[1]!, data as Float32Array)
  return computeSquaredNorm(matrix(b), matrix(a))
}

/** What is cut off is orthogonal to what is kept, so ‖ΔW‖² = ‖B·A‖² / (1 − residual²). */
function computeResidual(adapter: Adapter, modules: readonly ModuleReport[]): number {
  let lost = 0
  let whole = 0
  for (const { module, residual } of modules) {
    const kept = measureKept(adapter, module)
    const total = kept / (1 - Math.min(residual, 1 - 1e-12) ** 2)
    lost += total - kept
    whole += total
  }
  return whole > 0 ? Math.sqrt(lost / whole) : 0
}

/**
 * The adapter with every ΔW cut to its largest singular directions (exact for LoRA, through Gram
 * matrices of its factors; within 1 % of the best for kinds whose ΔW has full rank, which need
 * `base`). A rank from the adapter's own upwards loses nothing. Throws OptionError if neither rank
 * nor energy is given, and what merging throws.
 */
export function compress(adapter: Adapter, options: CompressOptions): CompressedAdapter {
  checkOptions('Compress', options, compressOptions)
  const { rank, energy, base, anyBase = false, onModule } = options
  if (rank === undefined && energy === undefined)
    throw new OptionError('Compress: give the rank or the energy to keep.')
  const modules: ModuleReport[] = []
  const small = merge([adapter], {
    method: 'weighted',
    ...(rank !== undefined && { rank }),
    ...(energy !== undefined && { energy }),
    ...(base && { base }),
    anyBase,
    onModule(report, done, count) {
      modules.push(report)
      onModule?.(report, done, count)
    },
  })
  return { adapter: small, modules, residual: computeResidual(small, modules) }
}

const { rank: rankOption, energy: energyOption } = methodOptions
const { base: baseOption, anyBase: anyBaseField, onModule: onModuleOption } = mergeContext
/** Also checked by the variant that takes paths. */
export const compressOptions = {
  rank: rankOption,
  energy: energyOption,
  base: baseOption,
  anyBase: anyBaseField,
  onModule: onModuleOption,
}
