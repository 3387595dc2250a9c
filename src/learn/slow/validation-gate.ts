// The validation gate: decides from losses before and after whether a new version of the slow tier
// is kept. Pure arithmetic.

export interface GateCanaries {
  /** Under the model without a slow tier. */
  readonly start?: number
  readonly before: number
  readonly after: number
}

/** Mean losses of turns without tiers, under the tiers, and under the new version. */
export interface GateGain {
  readonly untaught: number
  readonly before: number
  readonly after: number
}

/** What was measured, in nats per token; at least one of the three. */
export interface GateMeasurements {
  readonly canaries?: GateCanaries | undefined
  /** Turns that the new version did not see. */
  readonly held?: GateGain | undefined
  /** Turns that it learned. */
  readonly learned?: GateGain | undefined
}

export interface GateResult extends GateMeasurements {
  readonly kept: boolean
  readonly reason: string
}

export interface GateLimits {
  readonly bound?: number
  readonly least?: number
}

const names = {
  canaries: 'canaries',
  held: 'held-out turns',
  learned: 'learned turns',
} as const

/**
 * Keeps a version if the canaries' loss rises by at most `bound` (a share) over the model without a
 * slow tier, or not at all where it is already higher, and if the held-out turns and the learned
 * ones keep at least `least` of the tiers' gain on them. Where nothing was measured, nothing is
 * kept.
 */
export function evaluateGate(given: GateMeasurements, limits: GateLimits = {}): GateResult {
  const { bound = 0.01, least = 0.5 } = limits
  const measured = Object.fromEntries(
    Object.entries(given).filter(([, losses]) => losses !== undefined),
  ) as GateMeasurements
  const problem =
    findCanaryProblem(measured.canaries, bound) ??
    findGainProblem(names.held, measured.held, least) ??
    findGainProblem(names.learned, measured.learned, least)
  if (problem !== undefined) return { kept: false, reason: problem, ...measured }
  const parts = (Object.keys(names) as (keyof typeof names)[]).filter((part) => measured[part])
  if (parts.length === 0)
    return {
      kept: false,
      reason: 'nothing was measured: there are neither canaries nor kept turns',
    }
  const text = parts.map((part) => names[part]).join(' and ')
  return { kept: true, reason: `${text} hold`, ...measured }
}

function findCanaryProblem(canaries: GateCanaries | undefined, bound: number): string | undefined {
  if (!canaries) return undefined
  const [from, limit] = computeLimit(canaries, bound)
  if (canaries.after <= limit) return undefined
  return `canaries went from ${from.toFixed(3)} to ${canaries.after.toFixed(3)}, more than ${100 * bound} % worse`
}

function findGainProblem(
  name: string,
  losses: GateGain | undefined,
  least: number,
): string | undefined {
  if (!losses) return undefined
  const { untaught, before, after } = losses
  if (untaught - after >= least * Math.max(0, untaught - before)) return undefined
  return `of the ${(untaught - before).toFixed(3)} nats learned only ${(untaught - after).toFixed(3)} were left on ${name}`
}

/** What canaries are compared with, and their limit: many small rises do not add up. */
function computeLimit(
  { start, before }: GateCanaries,
  bound: number,
): readonly [from: number, limit: number] {
  const from = start ?? before
  return before > from * (1 + bound) ? [before, before] : [from, from * (1 + bound)]
}
