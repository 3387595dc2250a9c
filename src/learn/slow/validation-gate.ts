// The validation gate: decides from losses before and after whether a new version of the slow tier
// is kept. Pure arithmetic.

export interface GateCanaries {
  /** Under the model without a slow tier. */
  readonly start?: number
  readonly before: number
  readonly after: number
}

/** Mean losses before and after, in nats a token, and the decision. */
export interface GateResult {
  readonly kept: boolean
  readonly reason: string
  readonly canaries?: GateCanaries
  readonly held?: { readonly untaught: number; readonly before: number; readonly after: number }
}

/**
 * Keeps a version if the canaries' loss rises by at most `bound` (a share) over the model without a
 * slow tier, or not at all where it is already higher, and if the held-out turns keep at least
 * `least` of the tiers' gain on them.
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

/** What canaries are compared with, and their limit: many small rises do not add up. */
function computeLimit(
  { start, before }: GateCanaries,
  bound: number,
): readonly [from: number, limit: number] {
  const from = start ?? before
  return before > from * (1 + bound) ? [before, before] : [from, from * (1 + bound)]
}
