// The serving programs of one model: compiled when first needed, then kept, so that a change of
// adapter compiles nothing.

import {
  checkAdapter,
  type Expert,
  isMixture,
  mixServingWeights,
  type Mixture,
  createMixtureError,
  readServingWeights,
  type ServingWeightMap,
  toSlotFeeds,
} from '../../adapters/index.ts'
import { UnsupportedError } from '../../base/errors.ts'
import type { Backend } from '../../compute/backend.ts'
import type { Accuracy } from '../../compute/pack-linears.ts'
import type { BaseModel } from '../../graph/base-model.ts'
import type { ModelGraph } from '../../graph/model-graph.ts'
import { getLayerInputName } from '../../graph/passes/tail.ts'
import { findInvocation } from './activation.ts'
import type { BaseWeights } from './base-weights.ts'
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
   * The program that serves this; with `states`, one that gives out what enters that layer. Throws
   * MismatchError for an adapter that does not fit the model, UnsupportedError for a mixture
   * without a form.
   */
  get(served: ServedExperts, wanted: Accuracy, states?: number): Promise<ServingProgram>
  /** Whether rows of this expert may stand in a batch beside rows of others. */
  sharesBatch(expert: Expert | undefined): Promise<boolean>
  dispose(): Promise<void>
}

type ProgramNeeds = Pick<ServingOptions, 'slots' | 'attached' | 'perRow' | 'activation'>

/** What it gives, or the UnsupportedError of what slots cannot serve. */
async function catchUnsupported<Value>(
  make: () => Value | Promise<Value>,
): Promise<Value | UnsupportedError> {
  try {
    return await make()
  } catch (error) {
    if (error instanceof UnsupportedError) return error
    throw error
  }
}

/** Run-time forms by expert, each made once; an UnsupportedError where there are none. */
function createFormCache(
  base: BaseModel,
  weights: BaseWeights,
): (expert: Expert) => Promise<ServingWeightMap | UnsupportedError> {
  const made = new WeakMap<Expert, Promise<ServingWeightMap | UnsupportedError>>()
  const mixed = async ({ mixture: all }: Mixture): Promise<ServingWeightMap | UnsupportedError> => {
    const mixture = all.filter(({ weight }) => weight !== 0)
    const parts = await Promise.all(
      mixture.map(async ({ adapter, weight }) => ({ weight, forms: await formsOf(adapter) })),
    )
    const problems = parts.flatMap(({ forms }, i) =>
      forms instanceof UnsupportedError
        ? [`number ${i + 1}, ${mixture[i]!.adapter.kind}: ${forms.message}`]
        : [],
    )
    const usable = parts.flatMap(({ weight, forms }) =>
      forms instanceof UnsupportedError ? [] : [{ weight, forms }],
    )
    return problems.length > 0
      ? createMixtureError(problems)
      : catchUnsupported(() => mixServingWeights(usable))
  }
  const formsOf = (expert: Expert): Promise<ServingWeightMap | UnsupportedError> => {
    const known = made.get(expert)
    if (known) return known
    for (const adapter of listAdapters(expert)) checkAdapter(adapter, base.graph)
    const forms = isMixture(expert)
      ? mixed(expert)
      : catchUnsupported(() => readServingWeights(expert, base.graph, weights.floatUncached))
    made.set(expert, forms)
    return forms
  }
  return formsOf
}

/** Programs by accuracy and by what experts need; each compiled once. */
export function createProgramCache(
  base: BaseModel,
  backend: Backend,
  weights: BaseWeights,
): ProgramCache {
  const programs = new Map<string, Promise<ServingProgram>>()
  const needs = createNeedsCache(base, weights)
  // Accuracy makes a difference for packed weights only: a model without any needs one program.
  const packed = [...base.weights.tensors.keys()].some((name) => weights.formOf(name))
  return {
    async get(served, wanted, states) {
      // throws before anything is kept
      if (states !== undefined) getLayerInputName(base.graph, states)
      const accuracy = packed ? wanted : 'exact'
      const needed = await needs.of(served)
      const key = JSON.stringify([accuracy, needed, states])
      const program =
        programs.get(key) ??
        createServingProgram({
          model: base.graph,
          weights,
          backend,
          accuracy,
          formsOf: needs.formsOf,
          states,
          ...needed,
        })
      programs.set(key, program)
      return program
    },
    sharesBatch: async (expert) => (await needs.of(expert)).attached === undefined,
    async dispose() {
      const running = [...programs.values()]
      programs.clear()
      await Promise.all(running.map(async (program) => (await program).dispose()))
    },
  }
}

/** What experts need of a program, worked out once for each. */
function createNeedsCache(base: BaseModel, weights: BaseWeights) {
  const { stacks } = stackModel(base.graph, weights)
  const slotted = new Map<string, ModelGraph>()
  const slotsOf = (kind: SlotKind, activation: boolean): ModelGraph => {
    const key = `${kind} ${activation}`
    const model = slotted.get(key) ?? withSlots(base.graph, stacks, kind, { activation })
    slotted.set(key, model)
    return model
  }
  const formsOf = createFormCache(base, weights)
  const known = new WeakMap<Expert, Promise<ProgramNeeds>>()

  /** The least slots that hold the expert; an adapter that none holds is attached. */
  const find = async (expert: Expert): Promise<ProgramNeeds> => {
    const forms = await formsOf(expert)
    let reason = forms instanceof UnsupportedError ? forms : undefined
    const activation = findInvocation(expert) !== undefined
    for (const slots of slotKinds) {
      if (forms instanceof UnsupportedError) break
      const tensors = await catchUnsupported(() => toSlotFeeds(forms, slotsOf(slots, activation)))
      if (!(tensors instanceof UnsupportedError))
        return { slots, ...(activation ? { activation } : {}) }
      reason = tensors
    }
    if (isMixture(expert))
      throw forms instanceof UnsupportedError ? forms : createMixtureError([reason!.message])
    return { attached: { kind: expert.kind, config: expert.config } }
  }
  const ofOne = (expert: Expert | undefined): Promise<ProgramNeeds> => {
    if (!expert) return Promise.resolve({ slots: 'plain' })
    const needs = known.get(expert) ?? find(expert)
    known.set(expert, needs)
    return needs
  }
  return {
    async formsOf(expert: Expert): Promise<ServingWeightMap> {
      const forms = await formsOf(expert)
      if (forms instanceof UnsupportedError) throw forms
      return forms
    },
    async of(served: ServedExperts): Promise<ProgramNeeds> {
      if (!isPerRow(served)) return ofOne(served)
      const needs = await Promise.all([...new Set(served)].map(ofOne))
      const most = Math.max(...needs.map(({ slots = 'plain' }) => slotKinds.indexOf(slots)))
      return {
        slots: slotKinds[most]!,
        perRow: true,
        ...(needs.some(({ activation }) => activation) ? { activation: true } : {}),
      }
    },
  }
}
