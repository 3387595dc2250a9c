// Prepares an expert for slots: checks it against the model, computes its serving weights once, and
// finds whether it fits a slot.

import { type Adapter, checkAdapter, type Expert, isMixture } from '../../../adapters/index.ts'
import { checkFinite } from '../../../adapters/adapter.ts'
import { withoutVirtualParts } from '../../../adapters/joint/joint-adapters.ts'
import { checkBaseCopies } from '../../../adapters/base-copy.ts'
import type { ServingWeights } from '../../../adapters/kinds/kind.ts'
import {
  countHeldBytes,
  isPackedTensor,
  type PackedBits,
  packTensor,
} from '../../../adapters/packed/packed-tensor.ts'
import {
  checkMixtureLayers,
  createMixtureError,
  type Mixture,
  mixServingWeights,
} from '../../../adapters/serving/mixture.ts'
import {
  getWeightAt,
  isWeightZero,
  type PartWeight,
} from '../../../adapters/serving/part-weight.ts'
import {
  createServingError,
  readServingWeights,
  type ServingWeightMap,
} from '../../../adapters/serving/serving-weights.ts'
import { MismatchError, NumericError, UnsupportedError } from '../../../base/errors.ts'
import { isAllFinite } from '../../../base/finite.ts'
import type { Tensor } from '../../../base/tensor.ts'
import type { ModelGraph } from '../../../graph/model-graph.ts'
import type { ExpertHandle } from './adapter-pool.ts'
import { hasVectors } from './vector-set.ts'
import type { ModuleSource, SlotSource } from './fill-slot.ts'
import { findOwnSlot } from './own-slot.ts'
import type { SlotLayout } from './slot-layout.ts'

export interface ExpertSource {
  /** What fills its slot; undefined: no slot can hold it, and its adapter is attached. */
  readonly slot: SlotSource | undefined
  /** The largest rank of a module; 0 where it has vectors only. */
  readonly rank: number
  readonly hasVectors: boolean
  /** Bytes that are kept for it in addition to the adapter's own tensors. */
  readonly ownBytes: number
}

/** The source of an adapter that no slot can hold. */
export const attachedSource: ExpertSource = {
  slot: undefined,
  rank: 0,
  hasVectors: false,
  ownBytes: 0,
}

/** What the pool needs of its base model. */
export interface PoolBase {
  readonly graph: ModelGraph
  readonly layout: SlotLayout
  /** The base's tensor as its file has it. */
  readonly read: (name: string) => Promise<Tensor>
  /** The same in f32, for kinds that are served from the base (DoRA). */
  readonly readFloat: (name: string) => Promise<Tensor>
}

export interface SourceOptions {
  /** A LoRA's own tensors fill its slot, without a scaled copy of B: slower, in half the memory. */
  readonly lean: boolean
}

export interface ExpertSources {
  /**
   * Throws MismatchError for an adapter of another base or one that touches no layer, NumericError
   * for NaN or infinity, UnsupportedError for a mixture that has no exact sum or no place in slots.
   */
  read(expert: Expert): Promise<ExpertSource>
  /** Forgets what was kept for adapter objects, because a packed copy takes its place. */
  forget(expert: Expert): void
}

/** Sources by adapter object, each computed once. */
export function createExpertSources(base: PoolBase, { lean }: SourceOptions): ExpertSources {
  const known = new WeakMap<Adapter, Promise<ServingWeightMap>>()
  const readOnce = (adapter: Adapter): Promise<ServingWeightMap> => {
    const kept = known.get(adapter)
    if (kept) return kept
    const weights = readWeights(adapter, base)
    known.set(adapter, weights)
    weights.catch(() => known.delete(adapter)) // another attempt may succeed
    return weights
  }
  const places = collectPlaces(base.layout)
  return {
    forget(expert) {
      if (!isMixture(expert)) known.delete(expert)
    },
    async read(expert) {
      if (isMixture(expert)) {
        checkMixtureLayers(expert, base.graph.config.layers.length)
        return readMixture(expert, readOnce, places)
      }
      const own = lean ? findOwnSlot(expert, base.graph, places) : undefined
      if (own) return { ...own, hasVectors: false, ownBytes: 0 }
      try {
        const weights = await readOnce(expert)
        const problems = findPlaceProblems(weights, places)
        if (problems.length > 0) throw createServingError(problems)
        return createSource([{ weights, weight: 1 }], [expert])
      } catch (error) {
        if (!(error instanceof UnsupportedError)) throw error
        checkFinite(expert)
        return attachedSource
      }
    },
  }
}

/** The serving weights, once everything about the adapter has been checked. */
async function readWeights(adapter: Adapter, base: PoolBase): Promise<ServingWeightMap> {
  checkAdapter(adapter, base.graph)
  await checkBaseCopies(adapter, base.graph, base.read)
  // After its virtual tokens, which an attached program computes, the other parts act from slots.
  const acting = withoutVirtualParts(adapter) ?? adapter
  const weights = await readServingWeights(acting, base.graph, base.readFloat)
  if (weights.size === 0)
    throw new MismatchError(
      `The ${adapter.kind} adapter changes no layer of this model`,
      [{ name: 'targets', got: JSON.stringify(adapter.config.targets), expected: 'a module' }],
      'It would answer as the base does. Give an adapter that was made for this model.',
    )
  checkWeights(adapter, weights)
  return weights
}

/**
 * Throws NumericError that names the adapter's tensors, or the modules if all tensors are finite.
 */
function checkWeights(adapter: Adapter, weights: ServingWeightMap): void {
  const bad = [...weights].filter(([, { A, B, u, v, shift }]) =>
    [A, B, u, v, shift].some((tensor) => tensor && !isAllFinite(tensor.data)),
  )
  if (bad.length === 0) return
  checkFinite(adapter)
  const paths = bad.map(([path]) => path)
  throw new NumericError(
    `The ${adapter.kind} adapter gives NaN or infinity in ${paths.slice(0, 8).join(', ')} (${bad.length} modules), because numbers overflow when it is computed for this base.`,
  )
}

/** Paths that slots hold, and whether their layer is alone. */
const collectPlaces = (layout: SlotLayout): ReadonlyMap<string, boolean> =>
  new Map(layout.flatMap(({ parts }) => parts.map(({ path }) => [path, parts.length === 1])))

/** Why slots cannot hold these weights. */
function findPlaceProblems(
  weights: ServingWeightMap,
  places: ReadonlyMap<string, boolean>,
): string[] {
  return [...weights].flatMap(([path, { u, v, invocation }]) => {
    const standsAlone = places.get(path)
    if (standsAlone === undefined) return [`${path}: has no slot`]
    if (u && !standsAlone) return [`${path}: its slot has no u`]
    // Programs have a factor per token for low-rank products and shifts, but not for output
    // factors.
    return invocation && (u || v) ? [`${path}: its vectors act on some tokens only`] : []
  })
}

interface WeightedPart {
  readonly weights: ServingWeightMap
  readonly weight: PartWeight
}

/** One source of the sum of parts. Parts with vectors must be one part of weight 1. */
function createSource(parts: readonly WeightedPart[], adapters: readonly Adapter[]): ExpertSource {
  const slot = new Map<string, ModuleSource[]>()
  let rank = 0
  for (const { weights, weight } of parts)
    for (const [path, { A, B, u, v, shift }] of weights) {
      const vectors = { ...(u && { u }), ...(v && { v }), ...(shift && { shift }) }
      const sources = slot.get(path) ?? []
      const own = getWeightAt(weight, path)
      if (own === 0) continue
      slot.set(path, [...sources, { A, B, weight: own, ...vectors }])
      const ranks = sources.map((one) => one.A.shape[0]!)
      rank = Math.max(
        rank,
        ranks.reduce((sum, one) => sum + one, A.shape[0]!),
      )
    }
  const sources = [...slot.values()].flat()
  const known = new Set(
    adapters.flatMap(({ tensors }) => [...tensors.values()].map(({ data }) => data.buffer)),
  )
  const ownBytes = countBytes(sources, ({ data }) => !known.has(data.buffer))
  return { slot, rank, hasVectors: sources.some(hasVectors), ownBytes }
}

/** Bytes of packed tensors, and of the other tensors that count. */
const countBytes = (
  sources: readonly ModuleSource[],
  counts: (tensor: Tensor) => boolean,
): number =>
  sources
    .flatMap(({ A, B, u, v, shift }) => [A, B, u, v, shift])
    .filter((tensor) => tensor !== undefined)
    .filter((tensor) => isPackedTensor(tensor) || counts(tensor))
    .reduce((sum, tensor) => sum + countHeldBytes(tensor), 0)

/** The same source with A and B in 16 or 8 bits; vectors stay, because they act on the base. */
export function packSource(source: ExpertSource, bits: PackedBits): ExpertSource {
  if (!source.slot) return source
  const pack = (tensor: ModuleSource['A'], name: string): ModuleSource['A'] =>
    isPackedTensor(tensor) || tensor.data.length === 0 ? tensor : packTensor(tensor, bits, name)
  const slot = new Map<string, ModuleSource[]>()
  for (const [path, sources] of source.slot)
    slot.set(
      path,
      sources.map((one) => ({ ...one, A: pack(one.A, path), B: pack(one.B, path) })),
    )
  const ownBytes = countBytes([...slot.values()].flat(), () => true)
  return { ...source, slot, ownBytes }
}

/** The weighted sum of a mixture's adapters; one error names all that cannot be mixed. */
async function readMixture(
  { mixture }: Mixture,
  read: (adapter: Adapter) => Promise<ServingWeightMap>,
  places: ReadonlyMap<string, boolean>,
): Promise<ExpertSource> {
  const acting = mixture.filter(({ weight }) => !isWeightZero(weight))
  const parts: WeightedPart[] = []
  const problems: string[] = []
  for (const [i, { adapter, weight }] of acting.entries()) {
    try {
      parts.push({ weight, weights: await read(adapter) })
    } catch (error) {
      if (!(error instanceof UnsupportedError)) throw error
      problems.push(`number ${i + 1}, ${adapter.kind}: ${error.message}`)
    }
  }
  if (problems.length > 0) throw createMixtureError(problems)
  const isPlain = hasPlainSum(parts.flatMap(({ weights }) => [...weights.values()]))
  const summed: readonly WeightedPart[] = isPlain
    ? parts
    : [
        {
          weights: mixServingWeights(
            parts.map(({ weights, weight }) => ({ forms: weights, weight })),
          ),
          weight: 1,
        },
      ]
  problems.push(...summed.flatMap(({ weights }) => findPlaceProblems(weights, places)))
  if (problems.length > 0) throw createMixtureError(problems)
  return createSource(
    summed,
    acting.map(({ adapter }) => adapter),
  )
}

/** Whether A and B concatenated are the whole sum; any other is computed, or refused. */
function hasPlainSum(forms: readonly ServingWeights[]): boolean {
  const [first] = forms
  return forms.every(
    (form) =>
      !hasVectors({ ...form, weight: 1 }) &&
      form.A.shape[0] === form.B.shape[1] &&
      form.invocation?.join() === first?.invocation?.join(),
  )
}

/** A handle's description of its source. */
export function describeSource({
  slot,
  hasVectors: isVectored,
}: ExpertSource): Pick<ExpertHandle, 'form' | 'factors'> {
  const form = slot === undefined ? 'attached' : isVectored ? 'vectors' : 'slots'
  const pathsWith = (name: 'u' | 'v'): Set<string> =>
    new Set(
      [...(slot ?? [])].flatMap(([path, sources]) =>
        sources.some((one) => one[name]) ? [path] : [],
      ),
    )
  return { form, factors: { inputs: pathsWith('u'), outputs: pathsWith('v') } }
}
