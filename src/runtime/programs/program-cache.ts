// The serving programs of one model: compiled when first needed, then kept, so that a change of
// adapter compiles nothing.

import {
  type Adapter,
  checkAdapter,
  type Expert,
  isMixture,
  type Mixture,
} from '../../adapters/index.ts'
import { checkBaseCopies } from '../../adapters/base-copy.ts'
import {
  checkMixtureLayers,
  createMixtureError,
  mixServingWeights,
} from '../../adapters/serving/mixture.ts'
import { isWeightZero, type PartWeight } from '../../adapters/serving/part-weight.ts'
import {
  readServingWeights,
  type ServingWeightMap,
} from '../../adapters/serving/serving-weights.ts'
import { toSlotFeeds } from '../../adapters/serving/slots.ts'
import { UnsupportedError } from '../../base/errors.ts'
import type { Accuracy } from '../../compute/pack-linears.ts'
import type { BaseModel } from '../../graph/base-model.ts'
import type { ModelGraph } from '../../graph/model-graph.ts'
import { getLayerInputName } from '../../graph/passes/tail.ts'
import { findInvocation } from './activation.ts'
import type { BaseWeights } from './base-weights.ts'
import type { KvElement } from './cached-graph.ts'
import type { ProgramCompiler } from './program-compiler.ts'
import { listAdapters, isPerRow, type ServedExperts } from './row-groups.ts'
import {
  createServingProgram,
  type ServingOptions,
  type ServingProgram,
  type SlotKind,
  slotKinds,
  stackModel,
  withSlots,
} from './serving-program.ts'

export interface ProgramCache {
  /**
   * The program that serves this; with `states`, one that also returns the input of that layer;
   * `past` is the element type of the cache, 'f32' by default. Throws MismatchError for an adapter
   * that does not fit the model, UnsupportedError for a mixture that has no exact sum.
   */
  get(
    served: ServedExperts,
    wanted: Accuracy,
    states?: number,
    past?: KvElement,
  ): Promise<ServingProgram>
  /** Whether rows of this expert may share a batch with rows of others. */
  sharesBatch(expert: Expert | undefined): Promise<boolean>
  dispose(): Promise<void>
}

type ProgramNeeds = Pick<ServingOptions, 'slots' | 'attached' | 'perRow' | 'activation'>

type ReadServing = (expert: Expert) => Promise<ServingWeightMap>

/**
 * Serving weights by expert, each computed once. Rejects with UnsupportedError for an expert that
 * has none.
 */
function createServingWeightCache(base: BaseModel, weights: BaseWeights): ReadServing {
  const known = new WeakMap<Expert, Promise<ServingWeightMap>>()
  const read: ReadServing = (expert) => {
    const kept = known.get(expert)
    if (kept) return kept
    for (const adapter of listAdapters(expert)) checkAdapter(adapter, base.graph)
    const computed = isMixture(expert)
      ? mixServing(expert, read, base.config.layers.length)
      : readServing(expert)
    known.set(expert, computed)
    return computed
  }
  const readServing = async (adapter: Adapter): Promise<ServingWeightMap> => {
    await checkBaseCopies(adapter, base.graph, (name) => base.weights.read(name))
    return readServingWeights(adapter, base.graph, weights.floatUncached)
  }
  return read
}

/** The weighted sum of a mixture's adapters; one error names all that cannot be mixed. */
async function mixServing(
  expert: Mixture,
  read: ReadServing,
  layers: number,
): Promise<ServingWeightMap> {
  checkMixtureLayers(expert, layers)
  const { mixture } = expert
  const acting = mixture.filter(({ weight }) => !isWeightZero(weight))
  const parts: { readonly weight: PartWeight; readonly forms: ServingWeightMap }[] = []
  const problems: string[] = []
  for (const [i, { adapter, weight }] of acting.entries()) {
    try {
      parts.push({ weight, forms: await read(adapter) })
    } catch (error) {
      if (!(error instanceof UnsupportedError)) throw error
      problems.push(`number ${i + 1}, ${adapter.kind}: ${error.message}`)
    }
  }
  if (problems.length > 0) throw createMixtureError(problems)
  return mixServingWeights(parts)
}

/** Programs by accuracy and by what experts need; each compiled once. */
export function createProgramCache(
  base: BaseModel,
  compiler: ProgramCompiler,
  weights: BaseWeights,
): ProgramCache {
  const programs = new Map<string, Promise<ServingProgram>>()
  const needs = createNeedsCache(base, weights)
  // Accuracy makes a difference for packed weights only: a model without any needs one program.
  const packed = [...base.weights.tensors.keys()].some((name) => weights.formOf(name))
  return {
    async get(served, wanted, states, past = 'f32') {
      // throws before anything is kept
      if (states !== undefined) getLayerInputName(base.graph, states)
      const accuracy = packed ? wanted : 'exact'
      const needed = await needs.find(served)
      const key = JSON.stringify([accuracy, needed, states, past])
      const program =
        programs.get(key) ??
        createServingProgram({
          model: base.graph,
          weights,
          compiler,
          accuracy,
          readServing: needs.readServing,
          states,
          past,
          ...needed,
        })
      programs.set(key, program)
      return program
    },
    sharesBatch: async (expert) => (await needs.find(expert)).attached === undefined,
    async dispose() {
      const running = [...programs.values()]
      programs.clear()
      await Promise.all(running.map(async (program) => (await program).dispose()))
    },
  }
}

/** What experts need of a program, computed once for each. */
function createNeedsCache(base: BaseModel, weights: BaseWeights) {
  const { stacks } = stackModel(base.graph, weights)
  const slotted = new Map<string, ModelGraph>()
  const addSlots = (kind: SlotKind, activation: boolean): ModelGraph => {
    const key = `${kind} ${activation}`
    const model = slotted.get(key) ?? withSlots(base.graph, stacks, kind, { activation })
    slotted.set(key, model)
    return model
  }
  const readServing = createServingWeightCache(base, weights)
  const known = new WeakMap<Expert, Promise<ProgramNeeds>>()

  const findOne = (expert: Expert | undefined): Promise<ProgramNeeds> => {
    if (!expert) return Promise.resolve({ slots: 'plain' })
    const needs = known.get(expert) ?? findNeeds(expert, readServing, addSlots)
    known.set(expert, needs)
    return needs
  }
  return {
    readServing,
    async find(served: ServedExperts): Promise<ProgramNeeds> {
      if (!isPerRow(served)) return findOne(served)
      const needs = await Promise.all([...new Set(served)].map(findOne))
      const most = Math.max(...needs.map(({ slots = 'plain' }) => slotKinds.indexOf(slots)))
      return {
        slots: slotKinds[most]!,
        perRow: true,
        ...(needs.some(({ activation }) => activation) ? { activation: true } : {}),
      }
    },
  }
}

type AddSlots = (kind: SlotKind, activation: boolean) => ModelGraph

/** Slots where they hold the expert; otherwise the adapter is attached to a separate program. */
async function findNeeds(
  expert: Expert,
  readServing: ReadServing,
  addSlots: AddSlots,
): Promise<ProgramNeeds> {
  try {
    return await findSlots(expert, readServing, addSlots)
  } catch (error) {
    // A mixture has no configuration that could be attached.
    if (!(error instanceof UnsupportedError) || isMixture(expert)) throw error
    return { attached: { kind: expert.kind, config: expert.config } }
  }
}

/** The smallest slots that hold the expert. Throws UnsupportedError if none does. */
async function findSlots(
  expert: Expert,
  readServing: ReadServing,
  addSlots: AddSlots,
): Promise<ProgramNeeds> {
  const serving = await readServing(expert)
  const activation = findInvocation(expert) !== undefined
  let reason: UnsupportedError | undefined
  for (const slots of slotKinds) {
    try {
      toSlotFeeds(serving, addSlots(slots, activation))
      return { slots, ...(activation ? { activation } : {}) }
    } catch (error) {
      if (!(error instanceof UnsupportedError)) throw error
      reason = error
    }
  }
  throw isMixture(expert) ? createMixtureError([reason!.message]) : reason!
}
