// The serving programs of one model: compiled when first needed, then kept, so that a change of adapter compiles nothing.

import { type Adapter, attachSlots, checkAdapter, servingTensors } from '../adapters/index.ts'
import { UnsupportedError } from '../base/errors.ts'
import type { Backend } from '../compute/backend.ts'
import type { Accuracy } from '../compute/pack-linears.ts'
import type { BaseModel } from '../graph/base-model.ts'
import type { ModelGraph } from '../graph/model-graph.ts'
import type { BaseWeights } from './base-weights.ts'
import { createServingProgram, type ServingProgram } from './serving-program.ts'

export interface ProgramCache {
  /** The program that serves this adapter. Throws MismatchError for one that does not fit the model. */
  get(adapter: Adapter | undefined, wanted: Accuracy): Promise<ServingProgram>
  dispose(): Promise<void>
}

/** Programs by accuracy and by what adapters need; each compiled once. */
export function programCache(base: BaseModel, backend: Backend, weights: BaseWeights): ProgramCache {
  const programs = new Map<string, Promise<ServingProgram>>()
  const served = new WeakMap<Adapter, boolean>()
  const slotted = attachSlots(base.graph)
  const fitsSlots = (adapter: Adapter): boolean => {
    const known = served.get(adapter)
    if (known !== undefined) return known
    checkAdapter(adapter, base.graph)
    const fits = hasServingForm(adapter, slotted)
    served.set(adapter, fits)
    return fits
  }
  // Accuracy makes a difference for packed weights only: a model without any needs one program.
  const packed = [...base.weights.tensors.keys()].some((name) => weights.formOf(name))
  return {
    get(adapter: Adapter | undefined, wanted: Accuracy): Promise<ServingProgram> {
      const accuracy = packed ? wanted : 'exact'
      const attached = adapter && !fitsSlots(adapter) ? { kind: adapter.kind, config: adapter.config } : undefined
      const key = JSON.stringify([accuracy, attached])
      const program =
        programs.get(key) ?? createServingProgram({ model: base.graph, weights, backend, accuracy, ...(attached && { attached }) })
      programs.set(key, program)
      return program
    },
    async dispose() {
      const made = [...programs.values()]
      programs.clear()
      await Promise.all(made.map(async (program) => (await program).dispose()))
    },
  }
}

function hasServingForm(adapter: Adapter, slotted: ModelGraph): boolean {
  try {
    servingTensors(adapter, slotted)
    return true
  } catch (error) {
    if (error instanceof UnsupportedError) return false
    throw error
  }
}
