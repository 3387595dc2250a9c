// The serving programs of one model: compiled when first needed, then kept, so that a change of adapter compiles nothing.

import { type Adapter, checkAdapter, readServingForms, type ServingForms, slotTensors } from '../adapters/index.ts'
import { UnsupportedError } from '../base/errors.ts'
import type { Backend } from '../compute/backend.ts'
import type { Accuracy } from '../compute/pack-linears.ts'
import type { BaseModel } from '../graph/base-model.ts'
import type { ModelGraph } from '../graph/model-graph.ts'
import type { BaseWeights } from './base-weights.ts'
import {
  createServingProgram,
  type ServingOptions,
  type ServingProgram,
  type SlotKind,
  slotKinds,
  stackedModel,
  withSlots,
} from './serving-program.ts'

export interface ProgramCache {
  /** The program that serves this adapter. Throws MismatchError for one that does not fit the model. */
  get(adapter: Adapter | undefined, wanted: Accuracy): Promise<ServingProgram>
  dispose(): Promise<void>
}

/** The undefined of an adapter that slots cannot serve. */
async function orNone<Value>(make: () => Value | Promise<Value>): Promise<Value | undefined> {
  try {
    return await make()
  } catch (error) {
    if (error instanceof UnsupportedError) return undefined
    throw error
  }
}

/** Programs by accuracy and by what adapters need; each compiled once. */
export function programCache(base: BaseModel, backend: Backend, weights: BaseWeights): ProgramCache {
  const programs = new Map<string, Promise<ServingProgram>>()
  const { stacks } = stackedModel(base.graph, weights)
  const slotted = new Map<SlotKind, ModelGraph>()
  const slotsOf = (kind: SlotKind): ModelGraph => {
    const model = slotted.get(kind) ?? withSlots(base.graph, stacks, kind)
    slotted.set(kind, model)
    return model
  }

  const made = new WeakMap<Adapter, Promise<ServingForms | undefined>>()
  const formsOf = (adapter: Adapter): Promise<ServingForms | undefined> => {
    const known = made.get(adapter)
    if (known) return known
    checkAdapter(adapter, base.graph)
    const forms = orNone(() => readServingForms(adapter, base.graph, weights.once))
    made.set(adapter, forms)
    return forms
  }
  /** The least slots that hold the adapter; one that none holds is attached. */
  const needsOf = async (adapter: Adapter): Promise<Pick<ServingOptions, 'slots' | 'attached'>> => {
    const forms = await formsOf(adapter)
    for (const slots of slotKinds) if (forms && (await orNone(() => slotTensors(forms, slotsOf(slots))))) return { slots }
    return { attached: { kind: adapter.kind, config: adapter.config } }
  }
  // Accuracy makes a difference for packed weights only: a model without any needs one program.
  const packed = [...base.weights.tensors.keys()].some((name) => weights.formOf(name))
  return {
    async get(adapter: Adapter | undefined, wanted: Accuracy): Promise<ServingProgram> {
      const accuracy = packed ? wanted : 'exact'
      const needs = adapter ? await needsOf(adapter) : { slots: 'plain' as const }
      const key = JSON.stringify([accuracy, needs])
      const forms = async (one: Adapter): Promise<ServingForms> => (await formsOf(one))!
      const program = programs.get(key) ?? createServingProgram({ model: base.graph, weights, backend, accuracy, formsOf: forms, ...needs })
      programs.set(key, program)
      return program
    },
    async dispose() {
      const running = [...programs.values()]
      programs.clear()
      await Promise.all(running.map(async (program) => (await program).dispose()))
    },
  }
}
