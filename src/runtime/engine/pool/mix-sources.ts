// The weighted sum of experts as they are in the pool, packed ones too: their matrices concatenated
// if that is the whole sum, else computed from their vectors. Independent of names.

import { unpackInto } from '../../../adapters/packed/fill.ts'
import { createMixtureError, mixServingWeights } from '../../../adapters/serving/mixture.ts'
import { getWeightAt, type PartWeight } from '../../../adapters/serving/part-weight.ts'
import type { ServingWeightMap } from '../../../adapters/serving/serving-weights.ts'
import type { ServingWeights } from '../../../adapters/kinds/kind.ts'
import { f32, sizeOf, type F32Tensor } from '../../../base/tensor.ts'
import type { ExpertSource } from './expert-source.ts'
import { isPlainTensor, type ModuleSource, type SlotSource } from './fill-slot.ts'

/** An expert of the pool with its weight. */
export interface WeightedSource {
  /** Its name in errors: '"coder", lora'. */
  readonly what: string
  readonly source: ExpertSource
  readonly virtualTokens: number
  readonly weight: PartWeight
  /** The tokens from whose last occurrence on it acts. */
  readonly invocation: readonly number[] | undefined
}

/** Throws UnsupportedError that lists everything that keeps the sum from being served. */
export function mixSources(parts: readonly WeightedSource[]): ExpertSource {
  const problems = parts
    .filter(({ source, virtualTokens }) => source.slot === undefined || virtualTokens > 0)
    .map(
      ({ what, virtualTokens }) =>
        `${what}: ${virtualTokens > 0 ? 'its virtual tokens have no weight' : 'it does not fit a slot'}, so it can only act alone${virtualTokens > 0 ? '; joinAdapters makes one expert of it and others' : ''}`,
    )
  const starts = new Set(parts.map(({ invocation }) => invocation?.join() ?? 'all tokens'))
  if (starts.size > 1)
    problems.push(`its experts act from different tokens on: ${[...starts].join('; ')}`)
  const isPlain = parts.every(({ source }) => !source.hasVectors)
  if (problems.length > 0) throw createMixtureError(problems)
  const slot = isPlain ? joinSlots(parts) : sumSlots(parts)
  const hasFactors = [...slot.values()].flat().some(({ u, v }) => u ?? v)
  if (hasFactors && parts.some(({ invocation }) => invocation))
    throw createMixtureError(['factors act on all tokens, and these experts act on some only'])
  const ranks = [...slot.values()].map((sources) =>
    sources.reduce((sum, { A }) => sum + A.shape[0]!, 0),
  )
  return {
    slot,
    rank: Math.max(0, ...ranks),
    hasVectors: !isPlain,
    // joined tensors belong to the parts
    ownBytes: isPlain ? 0 : countBytes([...slot.values()].flat()),
  }
}

const countBytes = (sources: readonly ModuleSource[]): number =>
  sources
    .flatMap(({ A, B, u, v, shift }) => [A, B, u, v, shift])
    .reduce((sum, tensor) => sum + (tensor ? 4 * sizeOf(tensor.shape) : 0), 0)

/** The matrices of all parts concatenated, each times its weight. */
function joinSlots(parts: readonly WeightedSource[]): SlotSource {
  const slot = new Map<string, ModuleSource[]>()
  for (const { source, weight } of parts)
    for (const [path, sources] of source.slot!) {
      const factor = getWeightAt(weight, path)
      if (factor === 0) continue
      const own = sources.map((one) => ({ A: one.A, B: one.B, weight: one.weight * factor }))
      slot.set(path, [...(slot.get(path) ?? []), ...own])
    }
  return slot
}

/** The sum where vectors take part. */
function sumSlots(parts: readonly WeightedSource[]): SlotSource {
  const summed = mixServingWeights(
    parts.flatMap(({ source, weight }) =>
      listForms(source.slot!).map((forms) => ({ forms, weight })),
    ),
  )
  return new Map(
    [...summed].map(([path, { A, B, u, v, shift }]) => [
      path,
      [{ A, B, weight: 1, ...(u && { u }), ...(v && { v }), ...(shift && { shift }) }],
    ]),
  )
}

/** A slot's sum as maps that have one summand of each module. */
function listForms(slot: SlotSource): ServingWeightMap[] {
  const most = Math.max(0, ...[...slot.values()].map(({ length }) => length))
  return Array.from({ length: most }, (_, i) => {
    const forms = new Map<string, ServingWeights>()
    for (const [path, sources] of slot) {
      const one = sources[i]
      if (!one) continue
      const { u, v, shift, weight } = one
      const B = toFloats(one.B, weight)
      const vectors = { ...(u && { u }), ...(v && { v }), ...(shift && { shift }) }
      forms.set(path, { A: toFloats(one.A, 1), B, ...vectors })
    }
    return forms
  })
}

/** A matrix in f32, times a number. */
function toFloats(tensor: ModuleSource['A'], factor: number): F32Tensor {
  if (isPlainTensor(tensor))
    return factor === 1
      ? tensor
      : f32(
          tensor.shape,
          tensor.data.map((value) => value * factor),
        )
  const values = new Float32Array(sizeOf(tensor.shape))
  unpackInto({ values }, tensor, factor)
  return f32(tensor.shape, values)
}
