// Bench `learn`, the slow tier: a user's tiers learn all turns of a stream but the last 50, a
// consolidation trains the same turns into a LoRA through the whole model, and both are asked about
// those 50. What is left of the gain once fast tier and memory are emptied?

import { createHeadLoss, createTierStack, type TierStack } from '../../src/learn/index.ts'
import { trainSlowTier } from '../../src/learn/slow/train-slow-tier.ts'
import type { LoadedModel } from '../../src/node/model.ts'
import { type TurnStates, computeTurnStates, type Stream } from './learn-turns.ts'

const heldTurns = 50

export interface SlowOutcome {
  /**
   * Mean losses on the held turns: of the model as it was, with tiers, with the slow tier alone.
   */
  readonly frozen: number
  readonly tiers: number
  readonly slow: number
  /** Loss on a text unrelated to the stream, before and after. */
  readonly general: { readonly before: number; readonly after: number }
  readonly learnedTurns: number
  readonly seconds: number
}

const computeMean = (values: ArrayLike<number>): number =>
  Array.from(values).reduce((sum, value) => sum + value, 0) / values.length

async function measureLoss(turns: readonly TurnStates[], stack: TierStack): Promise<number> {
  const losses: number[] = []
  for (const turn of turns) losses.push(computeMean((await stack.score(turn)).losses))
  return computeMean(losses)
}

/** A learner's own consolidation, on the rows it keeps: the last 256 turns. */
export async function measureSlowOutcome(
  model: LoadedModel,
  stream: Stream,
  general: Stream,
): Promise<SlowOutcome> {
  const head = model.head()
  const errors = createHeadLoss(head)
  const bare = createTierStack(head, errors, { fast: false, memory: false })
  const stack = createTierStack(head, errors)
  const learned = stream.turns.slice(0, -heldTurns)
  const held = { name: stream.name, turns: stream.turns.slice(-heldTurns) }
  for (const turn of await computeTurnStates(model, { name: stream.name, turns: learned }))
    await stack.learn(turn)
  const heldSeen = await computeTurnStates(model, held)
  const generalSeen = await computeTurnStates(model, general)
  const before = {
    frozen: await measureLoss(heldSeen, bare),
    tiers: await measureLoss(heldSeen, stack),
    general: await measureLoss(generalSeen, bare),
  }
  const start = performance.now()
  const { adapter } = await trainSlowTier(model, learned.slice(-256), {
    adapter: undefined,
    ewc: undefined,
  })
  const seconds = (performance.now() - start) / 1000
  const slow = await measureLoss(await computeTurnStates(model, held, adapter), bare)
  const after = await measureLoss(await computeTurnStates(model, general, adapter), bare)
  return {
    ...before,
    slow,
    general: { before: before.general, after },
    learnedTurns: learned.length,
    seconds,
  }
}
