// Bench `learn`, the fast tier on layers: turns start from the states that enter its lowest layer,
// as serving computed them, and end with the tiers' new weights and memory. What serving computes
// on the way is timed apart.

import {
  createDeepTiers,
  createHeadErrors,
  createStudent,
  type DeepTiersOptions,
  keysOf,
  learnDeep,
  type StudentOptions,
} from '../../src/learn/index.ts'
import { f32, type F32Tensor } from '../../src/base/tensor.ts'
import type { LoadedModel } from '../../src/node/model.ts'
import type { Stream } from './learn-turns.ts'

interface DeepTurn {
  readonly states: F32Tensor // [T, D]
  /** Positions before the scored tokens, and those tokens. */
  readonly rows: readonly number[]
  readonly tokens: readonly number[]
}

export interface DeepOutcome {
  readonly name: string
  /** Of each turn before learning from it. */
  readonly losses: readonly number[]
  /** Of each turn's update, in milliseconds. */
  readonly times: readonly number[]
  /**
   * Of what serving computes at the same states: the last layers, the head's product, the likeliest
   * tokens, the memory's pairs.
   */
  readonly looks: readonly number[]
}

/** What stands at the head beside the tier on layers. */
const variants: Readonly<Record<string, StudentOptions>> = {
  'last two layers rank 2': { fast: false, memory: false },
  'last two layers rank 2 and memory': { fast: false },
  'last two layers rank 2, head rank 4 and memory': { fast: { rank: 4 } },
}

const meanOf = (values: ArrayLike<number>): number =>
  Array.from(values).reduce((sum, value) => sum + value, 0) / values.length

/** States that enter a layer, of all turns, once: nothing is learned in front of it. */
async function deepTurns(
  model: LoadedModel,
  { turns }: Stream,
  layer: number,
): Promise<DeepTurn[]> {
  const result: DeepTurn[] = []
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
async function streamed(
  model: LoadedModel,
  turns: readonly DeepTurn[],
  tiers: StudentOptions,
  deep: DeepTiersOptions = {},
) {
  const all = createDeepTiers(model, deep)
  const head = model.head()
  const tier = all.tier()
  const student = createStudent(head, createHeadErrors(head), tiers)
  const losses: number[] = []
  const looks: number[] = []
  const times: number[] = []
  try {
    for (const turn of turns) {
      const start = performance.now()
      const hidden = (await tier.hidden(turn)).data
      const sights = await student.look(hidden, keysOf(turn))
      const looked = performance.now()
      const { losses: read } = await learnDeep(tier, student, { ...turn, hidden, sights })
      times.push(performance.now() - looked)
      looks.push(looked - start)
      losses.push(meanOf(read))
    }
  } finally {
    await all.dispose()
  }
  return { losses, looks, times }
}

/**
 * Turns through each variant; their states are computed once. `rates`: also by these learning
 * rates, without a memory.
 */
export async function* deepOutcomes(
  model: LoadedModel,
  stream: Stream,
  rates: readonly number[],
  progress: (text: string) => void,
): AsyncIterable<DeepOutcome> {
  const { layer } = createDeepTiers(model) // compiles nothing
  const turns = await deepTurns(model, stream, layer)
  for (const [name, tiers] of Object.entries(variants)) {
    progress(`${stream.name}: ${name}`)
    yield { name, ...(await streamed(model, turns, tiers)) }
  }
  for (const learningRate of rates) {
    const name = `last two layers rank 2, rate ${learningRate.toPrecision(2)}`
    progress(`${stream.name}: ${name}`)
    yield {
      name,
      ...(await streamed(model, turns, { fast: false, memory: false }, { learningRate })),
    }
  }
}
