// Tiny models and adapters for the tests of step programs.

import { initializeAdapter } from '../../src/adapters/create-adapter.ts'
import type { Adapter } from '../../src/adapters/index.ts'
import { computeServingWeights } from '../../src/adapters/serving/serving-weights.ts'
import { toSlotFeeds } from '../../src/adapters/serving/slots.ts'
import type { F32Tensor } from '../../src/base/tensor.ts'
import { openBaseModel } from '../../src/graph/index.ts'
import { openDirectory } from '../../src/node/files/folder.ts'
import {
  type BaseWeights,
  createBaseWeights,
  type WeightChoice,
} from '../../src/runtime/programs/base-weights.ts'
import { stackModel, withSlots } from '../../src/runtime/programs/serving-program.ts'
import { stackAdapter } from '../../src/runtime/programs/stack-adapter.ts'
import type { BaseModel } from '../../src/graph/base-model.ts'

export interface Tiny {
  readonly base: BaseModel
  readonly weights: BaseWeights
  readonly config: BaseModel['config']
}

const fixtures = new URL('../parity/architectures/', import.meta.url).pathname

/** A model of test/parity/architectures. */
export async function openTiny(name: string, choice?: WeightChoice): Promise<Tiny> {
  const base = await openBaseModel({ name, folder: await openDirectory(fixtures + name) })
  const weights = createBaseWeights(base.graph, base.weights, choice)
  return { base, weights, config: base.config }
}

/** LoRA with random numbers on all linear layers but k_proj. */
export const createTinyAdapter = ({ base }: Tiny, rank: number, seed: number): Adapter =>
  initializeAdapter(
    'lora',
    {
      rank,
      rankPattern: { v_proj: rank + 1 },
      targets: ['q_proj', 'v_proj', 'o_proj', 'up_proj', 'gate_proj', 'down_proj'],
      start: 'random',
    },
    base.graph,
    { seed },
  )

/** What an adapter feeds the shared form; undefined: the base, rank 0. */
export function createSlotFeeds(
  { base, weights }: Tiny,
  adapter: Adapter | undefined,
): Map<string, F32Tensor> {
  const { stacks } = stackModel(base.graph, weights)
  const slotted = withSlots(base.graph, stacks, 'plain')
  const forms = adapter ? computeServingWeights(adapter, base.graph) : new Map()
  return stackAdapter(toSlotFeeds(forms, slotted), stacks)
}
