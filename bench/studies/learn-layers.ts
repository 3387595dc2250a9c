// Bench `learn`, the fast tier on layers: turns start from the states that enter its lowest layer,
// as serving computed them, and end with the tiers' new weights and memory. What serving computes
// on the way is timed apart.

import { createHeadLoss, createTierStack, type TierStackOptions } from '../../src/learn/index.ts'
import { createLayerTiers } from '../../src/learn/tiers/layer-tier-program.ts'
import { gatherKeys, learnLayers } from '../../src/learn/tiers/learn-layers.ts'
import type { LayerTiersOptions } from '../../src/learn/tiers/tier-options.ts'
import { f32, type F32Tensor } from '../../src/base/tensor.ts'
import type { LoadedModel } from '../../src/node/model.ts'
import type { Stream } from './learn-turns.ts'

interface LayerTurn {
  readonly states: F32Tensor // [T, D]
  /** Positions before the scored tokens, and those tokens. */
  readonly rows: readonly number[]
  readonly tokens: readonly number[]
}

export interface LayerOutcome {
  readonly name: string
  /** Of each turn before learning from it. */
  readonly losses: readonly number[]
  /** Of each turn's update, in milliseconds. */
  readonly times: readonly number[]
  /**
   * Of what serving computes at the same states: the last layers, the head's product, the top-k
   * tokens, the memory's entries.
   */
  readonly servingTimes: readonly number[]
}

/** The tiers at the head in addition to the tier on layers. */
const variants: Readonly<Record<string, TierStackOptions>> = {
  'last two layers rank 2': { fast: false, memory: false },
  'last two layers rank 2 and head rank 4': { fast: { rank: 4 }, memory: false },
  'last two layers rank 2 and memory': { fast: false },
  'last two layers rank 2, head rank 4 and memory': { fast: { rank: 4 } },
}

const computeMean = (values: ArrayLike<number>): number =>
  Array.from(values).reduce((sum, value) => sum + value, 0) / values.length

/** States that enter a layer, of all turns, once: nothing is learned in front of it. */
async function computeLayerTurns(
  model: LoadedModel,
  { turns }: Stream,
  layer: number,
): Promise<LayerTurn[]> {
  const result: LayerTurn[] = []
  for (const { ids, weights } of turns) {
    const read = [...ids.slice(0, -1)]
    const states = f32([read.length, model.config.width])
    let at = 0
    const take = (_: number, values: Float32Array): void => {
      states.data.set(values, at)
      at += values.length
    }
    await model.hidden([read], { at: 'none', states: { layer, take } })
    const scored = [...weights.keys()].filter((t) => weights[t]! > 0)
    result.push({ states, rows: scored.map((t) => t - 1), tokens: scored.map((t) => ids[t]!) })
  }
  return result
}

/** A stream through one user's tiers. */
async function learnStream(
  model: LoadedModel,
  turns: readonly LayerTurn[],
  tiers: TierStackOptions,
  deep: LayerTiersOptions = {},
) {
  const all = createLayerTiers(model, deep)
  const head = model.head()
  const tier = all.createTier()
  const stack = createTierStack(head, createHeadLoss(head), tiers)
  const losses: number[] = []
  const servingTimes: number[] = []
  const times: number[] = []
  try {
    for (const turn of turns) {
      const start = performance.now()
      const hidden = (await tier.hidden(turn)).data
      const observations = await stack.observe(hidden, gatherKeys(turn))
      const looked = performance.now()
      const { losses: read } = await learnLayers(tier, stack, { ...turn, hidden, observations })
      times.push(performance.now() - looked)
      servingTimes.push(looked - start)
      losses.push(computeMean(read))
    }
  } finally {
    await all.dispose()
  }
  return { losses, servingTimes, times }
}

/**
 * Turns through each variant; their states are computed once. `rates`: also by these learning
 * rates, without a memory.
 */
export async function* measureLayerOutcomes(
  model: LoadedModel,
  stream: Stream,
  rates: readonly number[],
  progress: (text: string) => void,
): AsyncIterable<LayerOutcome> {
  const { layer } = createLayerTiers(model) // compiles nothing
  const turns = await computeLayerTurns(model, stream, layer)
  for (const [name, tiers] of Object.entries(variants)) {
    progress(`${stream.name}: ${name}`)
    yield { name, ...(await learnStream(model, turns, tiers)) }
  }
  for (const learningRate of rates) {
    const name = `last two layers rank 2, rate ${learningRate.toPrecision(2)}`
    progress(`${stream.name}: ${name}`)
    yield {
      name,
      ...(await learnStream(model, turns, { fast: false, memory: false }, { learningRate })),
    }
  }
}
