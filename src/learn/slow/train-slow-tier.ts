// The slow tier: what a user's tiers learned, trained into a LoRA through the whole model or summed
// exactly, and the gate that decides whether it stays. Knows no users: it is given rows, tiers and
// a measure.

import type { Adapter } from '../../adapters/adapter.ts'
import { OptionError } from '../../base/errors.ts'
import type { EncodedSequence } from '../../train/data/encode.ts'
import type { EwcState } from '../../train/ewc/state.ts'
import type { TrainableModel } from '../../train/programs/trainable-model.ts'
import type { HeadChange } from './slow-head.ts'

export interface SlowTierOptions {
  /** 4 to 16; 8 unless given. */
  readonly rank?: number
  readonly targets?: string | readonly string[]
  /** Passes over the rows; 2 unless given. */
  readonly epochs?: number
  readonly learningRate?: number
  /** Elastic weight consolidation towards what earlier consolidations need; on unless false. */
  readonly ewc?: boolean
  readonly seed?: number
}

/** A state of the slow tier that can be gone back to. */
export interface SlowVersion {
  readonly adapter: Adapter | undefined
  readonly ewc: EwcState | undefined
  /** What sums took over from fast tiers at the head. */
  readonly head?: HeadChange | undefined
}

/** The slow tier's rank. Throws OptionError for one out of range. */
export function resolveSlowRank({ rank = 8 }: SlowTierOptions = {}): number {
  if (!(Number.isInteger(rank) && rank >= 4 && rank <= 16))
    throw new OptionError(`Slow tier: rank is ${rank}, expected 4 to 16.`)
  return rank
}

/**
 * Trains a new version of the slow tier on rows; the one before is not changed. Its change at the
 * head is left out: the turns that it came from are among the rows. Throws OptionError for a rank
 * out of range or no rows.
 */
export async function trainSlowTier(
  model: TrainableModel,
  rows: readonly EncodedSequence[],
  before: SlowVersion,
  options: SlowTierOptions = {},
): Promise<SlowVersion> {
  const { targets = 'all-linear', epochs = 2, learningRate = 1e-3, ewc = true, seed = 0 } = options
  const rank = resolveSlowRank(options)
  if (rows.length === 0)
    throw new OptionError(
      'Slow tier: there is nothing to consolidate; no turn has been learned from.',
    )
  const { train } = await import('../../train/run/train.ts') // only who consolidates loads it
  const longest = Math.max(...rows.map(({ ids }) => ids.length))
  const data = { name: 'turns', format: 'turns', rows, examples: rows.length, cut: 0, dropped: 0 }
  const events = train({
    model,
    data,
    epochs,
    learningRate,
    seed,
    weightDecay: 0,
    clip: 1,
    batch: { rows: 1, tokens: Math.max(256, longest) },
    maxTokens: longest,
    adapter: before.adapter ?? { kind: 'lora', config: { rank, alpha: 2 * rank, targets } },
    ...(ewc && { ewc: before.ewc ? { state: before.ewc } : {} }),
  })
  for await (const event of events)
    if (event.type === 'train-end') return { adapter: event.adapter, ewc: event.ewc }
  throw new OptionError('Slow tier: training ended without an adapter.')
}

export interface CanaryLosses {
  /** Under the model without a slow tier. */
  readonly start?: number
  readonly before: number
  readonly after: number
}

/** What a gate looked at: mean losses before and after, in nats a token. */
export interface GateResult {
  readonly kept: boolean
  readonly reason: string
  readonly canaries?: CanaryLosses
  readonly held?: { readonly untaught: number; readonly before: number; readonly after: number }
}

/**
 * Keeps a version when canaries lose at most `bound` (a share) against the model as it was, or
 * nothing more where earlier versions were allowed more; and when the held-out turns keep at least
 * `least` of what the tiers had gained on them.
 */
export function evaluateGate(
  canaries: GateResult['canaries'],
  held: GateResult['held'],
  { bound = 0.01, least = 0.5 }: { readonly bound?: number; readonly least?: number } = {},
): GateResult {
  const measured = { ...(canaries && { canaries }), ...(held && { held }) }
  const [from, limit] = canaries ? computeLimit(canaries, bound) : [0, 0]
  if (canaries && !(canaries.after <= limit))
    return {
      kept: false,
      reason: `canaries went from ${from.toFixed(3)} to ${canaries.after.toFixed(3)}, more than ${100 * bound} % worse`,
      ...measured,
    }
  if (held && !(held.untaught - held.after >= least * Math.max(0, held.untaught - held.before)))
    return {
      kept: false,
      reason: `of the ${(held.untaught - held.before).toFixed(3)} nats learned only ${(held.untaught - held.after).toFixed(3)} were left`,
      ...measured,
    }
  return { kept: true, reason: 'canaries and held-out turns hold', ...measured }
}

/**
 * What canaries are compared with, and how high they may go: many small losses one after the other
 * do not add up.
 */
function computeLimit(
  { start, before }: CanaryLosses,
  bound: number,
): readonly [from: number, limit: number] {
  const from = start ?? before
  return before > from * (1 + bound) ? [before, before] : [from, from * (1 + bound)]
}
