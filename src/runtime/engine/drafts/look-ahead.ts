// Speculative decoding in a step: which sequences try drafts, and how many of a draft's tokens are
// accepted. Independent of how calls are run and events are emitted.

import type { ServedSequence } from '../request.ts'
import { runStageAhead } from '../run-stages.ts'
import type { AheadResult } from '../step-runner.ts'
import { MOST_ROWS_AHEAD, planDrafts } from './plan-drafts.ts'
import type { Draft } from './speculation.ts'

/** Drafts by running sequence; none if more sequences run than may speculate. */
export function chooseDrafts(running: readonly ServedSequence[]): Map<ServedSequence, Draft> {
  if (running.length > MOST_ROWS_AHEAD || !running.some(({ speculation }) => speculation))
    return new Map()
  const writing = running.filter(({ row }) => row?.ready)
  const accuracy = writing.some(({ settings }) => settings.exact) ? 'exact' : 'fast'
  return planDrafts(new Map(writing.map((task) => [task, prepareDraft(task)])), accuracy)
}

/** The draft of a sequence, at most as many tokens as its row has room for. */
function prepareDraft({
  speculation,
  lease,
  row,
  answer,
  tokens,
  virtualTokens,
}: ServedSequence): Draft | undefined {
  // A program for a single attached adapter has only one form of call.
  if (!speculation || (lease?.attached && virtualTokens === 0)) return undefined
  return speculation.propose(tokens, Math.min(row!.room - row!.length, answer.left) - 1)
}

/**
 * Chooses tokens with `take`, which returns false at the answer's end, until one differs from the
 * draft. Returns how many of the call's tokens are accepted.
 */
export async function takeAhead(
  task: ServedSequence,
  { tokens }: Draft,
  ahead: AheadResult,
  take: (task: ServedSequence, logits: Float32Array) => Promise<boolean>,
): Promise<number> {
  const { stage } = task.settings
  const logits = stage ? await runStageAhead(task, ahead.states) : ahead.logits
  let used = 0
  let goesOn = true
  while (goesOn) {
    const isOpen = await take(task, logits[used]!)
    goesOn = isOpen && task.tokens.at(-1) === tokens[used]
    used++
  }
  if (stage) stage.stage.dropRows!(stage.context, logits.length - used)
  return used
}
