// Tiny models and adapters for the tests of step programs.

import { initializeAdapter } from '../../src/adapters/create-adapter.ts'
import type { Adapter } from '../../src/adapters/index.ts'
import { computeServingWeights } from '../../src/adapters/serving/serving-weights.ts'
import type { F32Tensor } from '../../src/base/tensor.ts'
import { openBaseModel } from '../../src/graph/index.ts'
import { openDirectory } from '../../src/node/files/folder.ts'
import {
  type BaseWeights,
  createBaseWeights,
  type WeightChoice,
} from '../../src/runtime/programs/base-weights.ts'
import type { RankSet } from '../../src/runtime/engine/pool/adapter-pool.ts'
import { RankSlots, type SlotOwner } from '../../src/runtime/engine/pool/rank-set.ts'
import { createSlotLayout } from '../../src/runtime/engine/pool/slot-layout.ts'
import { stackModel } from '../../src/runtime/programs/serving-program.ts'
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

/** Slots of rank `rank` that hold these adapters, in order; undefined: the base, zeros. */
export function fillSlots(
  { base, weights }: Pick<Tiny, 'base' | 'weights'>,
  rank: number,
  adapters: readonly (Adapter | undefined)[],
): RankSet {
  const layout = createSlotLayout(base.graph, stackModel(base.graph, weights).stacks)
  const slots = new RankSlots<SlotOwner>(layout, rank)
  slots.resize(adapters.length)
  for (const adapter of adapters) {
    const forms = adapter ? computeServingWeights(adapter, base.graph) : new Map()
    const source = new Map(
      [...forms].map(([path, { A, B }]) => [path, [{ A, B, weight: 1 }]] as const),
    )
    const owner = { isActive: true, isPinned: false }
    slots.place(owner, source)
    slots.activate(owner)
  }
  return slots
}

/** What an adapter feeds the shared form; undefined: the base, zeros. */
export const createSlotFeeds = (
  tiny: Pick<Tiny, 'base' | 'weights'>,
  adapter: Adapter | undefined,
  rank = 32,
): ReadonlyMap<string, F32Tensor> => fillSlots(tiny, rank, [adapter]).slotFeeds(0)
