// Mixtures: several adapters at once, each with a weight, as one set of serving weights. Exactly
// the weighted sum of their changes, with no merge step: A and B are stacked along the rank.
// Independent of programs.

import { OptionError, UnsupportedError } from '../../base/errors.ts'
import { f32, type F32Tensor } from '../../base/tensor.ts'
import { describeValue, isRecord, joinProblems } from '../../base/schema.ts'
import type { Adapter } from '../adapter.ts'
import type { ServingWeights } from '../kinds/kind.ts'
import { isTensorMap } from '../packed/tensor-map.ts'
import {
  findAbsentLayers,
  findWeightProblems,
  getWeightAt,
  isWeightZero,
  type PartWeight,
} from './part-weight.ts'
import type { ServingWeightMap } from './serving-weights.ts'

/**
 * Σ weight·ΔW of adapters of one base. Serving weights are cached by the identity of this object:
 * reuse it, and the next request computes nothing.
 */
export interface Mixture {
  readonly mixture: readonly MixturePart[]
}

export interface MixturePart {
  readonly adapter: Adapter
  /** A number, or numbers by layer: `[{ layers: [10, 29], weight: 0.8 }]`. */
  readonly weight: PartWeight
}

/** What can answer a request instead of the base: an adapter, or a mixture. */
export type Expert = Adapter | Mixture

export const isMixture = (expert: Expert): expert is Mixture => 'mixture' in expert

/**
 * The same expert in its simplest form: without adapters of weight 0, and not a mixture if only one
 * adapter of weight 1, or none, remains. Throws one OptionError that lists every value that is not
 * an adapter or not a finite weight.
 */
export function simplifyExpert(expert: Expert | undefined): Expert | undefined {
  if (!expert) return undefined
  if (!isRecord(expert) || !isMixture(expert)) {
    const problem = findAdapterProblem(expert)
    if (problem === undefined) return expert
    throw new OptionError(`adapter: ${problem}.`)
  }
  const { mixture } = expert
  checkMixture(mixture)
  const acting = mixture.filter(({ weight }) => !isWeightZero(weight))
  return acting.length === 0 || (acting.length === 1 && acting[0]!.weight === 1)
    ? acting[0]?.adapter
    : expert
}

function checkMixture(mixture: Mixture['mixture']): void {
  if (!Array.isArray(mixture))
    throw new OptionError(
      `mixture: got ${describeValue(mixture)}, expected a list of { adapter, weight }.`,
    )
  if (mixture.length === 0)
    throw new OptionError(
      'A mixture needs at least one adapter; for the base alone give no adapter.',
    )
  const wrong = mixture.flatMap((part: unknown, i) => findPartProblems(part, `mixture[${i}]`))
  if (wrong.length > 0) throw new OptionError(`${joinProblems(wrong)}`)
}

function findPartProblems(part: unknown, name: string): string[] {
  if (!isRecord(part)) return [`${name}: got ${describeValue(part)}, expected { adapter, weight }`]
  const { adapter, weight } = part
  const problem = findAdapterProblem(adapter)
  return [
    ...(problem === undefined ? [] : [`${name}.adapter: ${problem}`]),
    ...findWeightProblems(weight, `${name}.weight`),
  ]
}

/** The problem of a value that should be an adapter; undefined if there is none. */
export function findAdapterProblem(value: unknown): string | undefined {
  if (value instanceof Promise) return 'got a promise, expected an adapter; await it first'
  if (!isRecord(value)) return `got ${describeValue(value)}, expected an adapter`
  if ('mixture' in value)
    return 'got a mixture, expected an adapter; list its adapters with the products of the weights'
  if ('fade' in value)
    return 'got a fade, expected an adapter; a fade acts along one answer: give it to generate'
  if (
    typeof value['kind'] === 'string' &&
    isRecord(value['config']) &&
    isTensorMap(value['tensors'])
  )
    return undefined
  return `got an object with ${Object.keys(value).join(', ') || 'no keys'}, expected an adapter`
}

interface Part {
  readonly form: ServingWeights
  readonly weight: number
}

/**
 * The serving weights of Σ weight·ΔW, by module. Without factors: A = [A_1; …], B = [w_1·B_1 …].
 * Factors of outputs add up as v = 1 + Σ w·(v_k − 1), with rows of B_k times w·v_k/v; factors of
 * inputs in the same way on the columns of A_k. Shifts add up. Throws UnsupportedError listing the
 * modules whose sum cannot be written this way.
 */
export function mixServingWeights(
  parts: readonly { readonly forms: ServingWeightMap; readonly weight: PartWeight }[],
): ServingWeightMap {
  const forms = new Map<string, ServingWeights>()
  const problems: string[] = []
  for (const path of new Set(parts.flatMap(({ forms: one }) => [...one.keys()]))) {
    const here = parts.flatMap(({ forms: one, weight: given }): Part[] => {
      const form = one.get(path)
      const weight = getWeightAt(given, path)
      return form && weight !== 0 ? [{ form, weight }] : []
    })
    if (here.length === 0) continue
    const mixed = here.length === 1 && here[0]!.weight === 1 ? here[0]!.form : mixModule(here)
    if (typeof mixed === 'string') problems.push(`${path}: ${mixed}`)
    else forms.set(path, mixed)
  }
  // A program run has one `active` feed for each row, so all adapters of a mixture must begin to
  // act at the same token.
  const invocations = new Set(
    [...forms.values()].map(({ invocation }) => invocation?.join() ?? 'all tokens'),
  )
  if (problems.length === 0 && invocations.size > 1)
    problems.push(`its adapters act from different tokens on: ${[...invocations].join('; ')}`)
  if (problems.length > 0) throw createMixtureError(problems)
  return forms
}

/** Throws OptionError for weights by layer that name layers which the model does not have. */
export function checkMixtureLayers({ mixture }: Mixture, layers: number): void {
  const problems = mixture.flatMap(({ weight }, i) =>
    findAbsentLayers(weight, layers, `mixture[${i}].weight`),
  )
  if (problems.length > 0) throw new OptionError(joinProblems(problems))
}

/** One error for everything that keeps a mixture from being served. */
export const createMixtureError = (problems: readonly string[]): UnsupportedError =>
  new UnsupportedError(
    `This mixture cannot be served exactly:\n  ${problems.join('\n  ')}\nMerge these adapters into one with \`merge\`, and serve that.`,
  )

/** The module's serving weights, or why there are none. */
function mixModule(parts: readonly Part[]): ServingWeights | string {
  const [first] = parts as [Part, ...Part[]]
  const { invocation } = first.form
  if (parts.some(({ form }) => form.invocation?.join() !== invocation?.join()))
    return 'the adapters act from different tokens on'
  const inFeatures = first.form.A.shape[1]!
  const outFeatures = first.form.B.shape[0]!
  if (first.form.A.shape[0] !== first.form.B.shape[1])
    return 'embeddings are not mixed while serving'
  const u = mixFactor(parts, 'u', inFeatures)
  const v = mixFactor(parts, 'v', outFeatures)
  if (u && v)
    return 'adapters that scale its inputs and adapters that scale its outputs have no common form'
  if ([u, v].some((factor) => factor?.data.some((value) => Math.abs(value) < 1e-6)))
    return 'the adapters’ factors cancel out to 0'
  const rank = parts.reduce((sum, { form }) => sum + form.A.shape[0]!, 0)
  const A = f32([rank, inFeatures])
  const B = f32([outFeatures, rank])
  let row = 0
  for (const { form, weight } of parts) {
    const own = form.A.shape[0]!
    placeA(A.data.subarray(row * inFeatures, (row + own) * inFeatures), form, u)
    placeB(B, row, { form, weight }, v)
    row += own
  }
  const shift = mixShift(parts, outFeatures)
  return {
    A,
    B,
    ...(shift ? { shift } : {}),
    ...(u ? { u } : {}),
    ...(v ? { v } : {}),
    ...(invocation ? { invocation } : {}),
  }
}

/** 1 + Σ w·(factor − 1); undefined if no adapter has one. */
function mixFactor(parts: readonly Part[], name: 'u' | 'v', length: number): F32Tensor | undefined {
  if (!parts.some(({ form }) => form[name])) return undefined
  const sum = f32([length], new Float32Array(length).fill(1))
  for (const { form, weight } of parts)
    form[name]?.data.forEach((value, i) => void (sum.data[i]! += weight * (value - 1)))
  return sum
}

function mixShift(parts: readonly Part[], length: number): F32Tensor | undefined {
  if (!parts.some(({ form }) => form.shift)) return undefined
  const sum = f32([length])
  for (const { form, weight } of parts)
    form.shift?.data.forEach((value, i) => void (sum.data[i]! += weight * value))
  return sum
}

/** A_k, with its columns times u_k/u. */
function placeA(
  target: Float32Array,
  { A, u: own }: ServingWeights,
  u: F32Tensor | undefined,
): void {
  target.set(A.data)
  if (!u) return
  const width = u.data.length
  for (let i = 0; i < target.length; i++)
    target[i]! *= (own?.data[i % width] ?? 1) / u.data[i % width]!
}

/** B_k from column `start` on, with its rows times w·v_k/v. */
function placeB(
  target: F32Tensor,
  start: number,
  { form: { B, v: own }, weight }: Part,
  v: F32Tensor | undefined,
): void {
  const [rows, rank] = B.shape as [number, number]
  const total = target.shape[1]!
  for (let row = 0; row < rows; row++) {
    const factor = v ? (weight * (own?.data[row] ?? 1)) / v.data[row]! : weight
    for (let r = 0; r < rank; r++)
      target.data[row * total + start + r] = factor * B.data[row * rank + r]!
  }
}
