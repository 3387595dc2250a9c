// Bench `learn`, the slow tier: a user's tiers learn all turns of a stream but the last 50, a
// consolidation trains the same turns into a LoRA through the whole model, and both are asked about
// those 50. What is left of the gain once fast tier and memory are emptied?

import {
  consolidated,
  createHeadErrors,
  createStudent,
  type Student,
} from '../../src/learn/index.ts'
import type { LoadedModel } from '../../src/node/model.ts'
import { type SeenTurn, seenTurns, type Stream } from './learn-turns.ts'

const heldTurns = 50

export interface SlowOutcome {
  /**
   * Mean losses on the held turns: of the model as it was, with tiers, with the slow tier alone.
   */
  readonly frozen: number
  readonly tiers: number
  readonly slow: number
  /** Loss on a text that has nothing to do with the stream, before and after. */
  readonly general: { readonly before: number; readonly after: number }
  readonly taught: number
  readonly seconds: number
}

const meanOf = (values: ArrayLike<number>): number =>
  Array.from(values).reduce((sum, value) => sum + value, 0) / values.length

async function lossOn(turns: readonly SeenTurn[], student: Student): Promise<number> {
  const losses: number[] = []
  for (const turn of turns) losses.push(meanOf((await student.read(turn)).losses))
  return meanOf(losses)
}

/** A learner's own consolidation, on the rows it keeps: the last 256 turns. */
export async function slowOutcome(
  model: LoadedModel,
  stream: Stream,
  general: Stream,
): Promise<SlowOutcome> {
  const head = model.head()
  const errors = createHeadErrors(head)
  const bare = createStudent(head, errors, { fast: false, memory: false })
  const student = createStudent(head, errors)
  const taught = stream.turns.slice(0, -heldTurns)
  const held = { name: stream.name, turns: stream.turns.slice(-heldTurns) }
  for (const turn of await seenTurns(model, { name: stream.name, turns: taught }))
    await student.learn(turn)
  const heldSeen = await seenTurns(model, held)
  const generalSeen = await seenTurns(model, general)
  const before = {
    frozen: await lossOn(heldSeen, bare),
    tiers: await lossOn(heldSeen, student),
    general: await lossOn(generalSeen, bare),
  }
  const start = performance.now()
  const { adapter } = await consolidated(model, taught.slice(-256), {
    adapter: undefined,
    ewc: undefined,
  })
  const seconds = (performance.now() - start) / 1000
  const slow = await lossOn(await seenTurns(model, held, adapter), bare)
  const after = await lossOn(await seenTurns(model, general, adapter), bare)
  return {
    ...before,
    slow,
    general: { before: before.general, after },
    taught: taught.length,
    seconds,
  }
}
