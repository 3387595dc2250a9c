// What a base model will need before it is opened for use: memory, disk, and what the machine has.

import { openBaseModel } from '../../graph/base-model.ts'
import { createBaseWeights } from '../../runtime/programs/base-weights.ts'
import { computeModelMemory, type ModelMemory } from '../../runtime/programs/model-memory.ts'
import type { WeightChoice } from '../../runtime/index.ts'
import { type MachineMemory, readMachineMemory } from '../models/machine-memory.ts'
import { resolveModel, type ResolveOptions } from '../models/resolve.ts'
import { openPackedFiles } from './open-packed-files.ts'

export interface ModelPlan {
  readonly name: string
  readonly architecture: string
  readonly layers: number
  readonly memory: ModelMemory
  readonly machine: MachineMemory
  /** Whether the machine has the memory now. */
  readonly fits: boolean
}

export interface PlanOptions extends ResolveOptions {
  readonly weights?: WeightChoice | undefined
}

/** Reads the model's head, no weights. Throws as loadModel does where it cannot be had. */
export async function planModel(
  source: string,
  { weights: choice, ...resolving }: PlanOptions = {},
): Promise<ModelPlan> {
  const { environment } = resolving
  const base = await openBaseModel(await resolveModel(source, resolving))
  try {
    const { graph, config, name, weights: store } = base
    const weights = createBaseWeights(graph, store, choice)
    const files = await openPackedFiles({ weights: store, choice, environment })
    const memory = computeModelMemory({ graph, store, weights, files })
    const machine = readMachineMemory(environment)
    return {
      name,
      architecture: config.modelType,
      layers: config.layers.length,
      memory,
      machine,
      fits: memory.peakBytes <= machine.freeBytes,
    }
  } finally {
    await base.weights.close()
  }
}
