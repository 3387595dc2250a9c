// The memory and disk space that a base model will need, before it is opened, compared with the
// machine's.

import { openBaseModel } from '../../graph/base-model.ts'
import { computeContextLimit } from '../../graph/rope.ts'
import type { RopeScalingOptions } from '../../graph/models/rope-scaling.ts'
import { chooseKvBytes } from '../../runtime/engine/engine-checks.ts'
import type { EngineOptions } from '../../runtime/engine/engine-options.ts'
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
  /** The most memory of an engine for the model; undefined unless requested. */
  readonly engine: EngineMemory | undefined
  /** Whether the machine has the memory now. */
  readonly fits: boolean
}

/** Allocated as requests and experts arrive. */
export interface EngineMemory {
  /** Keys and values. */
  readonly kvBytes: number
  /** Slots of experts. */
  readonly expertBytes: number
}

export interface PlanOptions extends ResolveOptions {
  readonly weights?: WeightChoice | undefined
  readonly ropeScaling?: RopeScalingOptions | undefined
  /** An engine that serves the model. */
  readonly engine?: Pick<EngineOptions, 'kvBytes' | 'kvElement' | 'expertBytes'> | undefined
}

const usualExpertBytes = 2 ** 29

/**
 * Reads the model's header, not its weights. Throws as loadModel does if the model cannot be
 * opened.
 */
export async function planModel(
  source: string,
  { weights: choice, ropeScaling, engine: asked, ...resolving }: PlanOptions = {},
): Promise<ModelPlan> {
  const { environment } = resolving
  const base = await openBaseModel(await resolveModel(source, resolving), { ropeScaling })
  try {
    const { graph, config, name, weights: store } = base
    const weights = createBaseWeights(graph, store, choice)
    const files = await openPackedFiles({ weights: store, choice, environment })
    const memory = computeModelMemory({ graph, store, weights, files })
    const machine = readMachineMemory(environment)
    const engine = asked && {
      kvBytes: chooseKvBytes(
        { config, contextTokens: computeContextLimit(config) },
        { kvBytes: asked.kvBytes, kvElement: asked.kvElement ?? 'f32' },
      ),
      expertBytes: asked.expertBytes ?? usualExpertBytes,
    }
    const engineBytes = engine ? engine.kvBytes + engine.expertBytes : 0
    return {
      name,
      architecture: config.modelType,
      layers: config.layers.length,
      memory,
      machine,
      engine,
      fits: memory.peakBytes + engineBytes <= machine.freeBytes,
    }
  } finally {
    await base.weights.close()
  }
}
