// Ways of sending a request to one of many replicas. Each looks at loads and residency as a gate
// sees them: exactly, or, where there are several gates, by what went through it.

import { hashPair } from './draws.ts'

/** What a policy may look at. */
export interface FleetView {
  readonly count: number
  /** Requests that a replica answers at a time. */
  readonly slots: number
  /** Requests that run or wait at a replica. */
  busy(replica: number): number
  /** Whether the adapter is in its memory. */
  holds(replica: number, adapter: number): boolean
  /** Replicas that hold the adapter. */
  holders(adapter: number): Iterable<number>
  /** Slots that the adapter keeps busy in the whole fleet, by its requests so far. */
  demand(adapter: number): number
  uniform(): number
}

export type FleetPolicy = (view: FleetView, adapter: number) => number

/** A draw of two replicas, the less busy one. */
function pickOfTwo({ count, busy, uniform }: FleetView): number {
  const a = Math.floor(uniform() * count)
  const b = Math.floor(uniform() * count)
  return busy(a) <= busy(b) ? a : b
}

/** Further homes that are looked at where all of an adapter's own are full. */
const spareHomes = 4

/**
 * The least busy of an adapter's homes, preferring one that has it loaded; more homes if all are
 * full.
 */
function pickHome(view: FleetView, adapter: number, homes: number): number {
  const { count, slots, busy } = view
  let best: number | undefined
  let resident: number | undefined
  for (let k = 0; k < homes + spareHomes; k++) {
    const home = hashPair(adapter, k) % count
    const load = busy(home)
    if (
      load < slots &&
      view.holds(home, adapter) &&
      (resident === undefined || load < busy(resident))
    )
      resident = home
    if (best === undefined || load < busy(best)) best = home
    if (k >= homes - 1 && (resident !== undefined || busy(best) < slots)) break
  }
  return resident ?? best!
}

/** The share of a replica's slots that one adapter may take before it gets one home more. */
const fullShare = 0.6

export const fleetPolicies: Readonly<Record<string, FleetPolicy>> = {
  /** A plain balancer. */
  blind: (view) => pickOfTwo(view),
  /**
   * Ray Serve's multiplexing: where it is resident and a slot is free, else one of two loads it.
   */
  resident(view, adapter) {
    let best: number | undefined
    for (const holder of view.holders(adapter))
      if (best === undefined || view.busy(holder) < view.busy(best)) best = holder
    return best !== undefined && view.busy(best) < view.slots ? best : pickOfTwo(view)
  },
  /** Two homes by hash, however much an adapter is asked for. */
  homes: (view, adapter) => pickHome(view, adapter, 2),
  /** Homes by hash, as many as its demand needs: what graft serve --on does. */
  grown(view, adapter) {
    const needed = Math.ceil(view.demand(adapter) / (fullShare * view.slots))
    return pickHome(view, adapter, Math.min(view.count, Math.max(2, needed)))
  },
}
