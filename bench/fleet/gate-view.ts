// What a gate knows: with one gate everything, exactly; with several each what went through itself,
// from which it guesses the rest.

import type { Draws } from './draws.ts'
import type { FleetView } from './policy-table.ts'

export interface Gate extends FleetView {
  /** A request for the adapter has come. */
  note(adapter: number, now: number): void
  send(replica: number, adapter: number): void
  finish(replica: number): void
}

interface SeenServer {
  readonly running: number
  readonly line: readonly unknown[]
  readonly held: ReadonlySet<number>
}

interface GateOptions {
  readonly slots: number
  readonly serviceMs: number
  readonly resident: number
}

/** Milliseconds before demand is trusted. */
const leastMs = 10_000

/** By adapter, the replicas that hold it. */
export type FleetPlaces = ReadonlyMap<number, ReadonlySet<number>>

export function createGates(
  count: number,
  { servers, places }: { readonly servers: readonly SeenServer[]; readonly places: FleetPlaces },
  options: GateOptions,
  draws: Draws,
): Gate[] {
  return Array.from({ length: count }, () =>
    count === 1
      ? createExactGate(servers, places, options, draws)
      : createBlindGate(servers.length, count, options, draws),
  )
}

/** Requests of an adapter so far, as the slots that they keep busy. */
function createDemand(serviceMs: number, gates: number) {
  const asked = new Map<number, number>()
  let now = 0
  return {
    note(adapter: number, time: number): void {
      now = time
      asked.set(adapter, (asked.get(adapter) ?? 0) + 1)
    },
    demand: (adapter: number): number =>
      ((asked.get(adapter) ?? 0) / Math.max(now, leastMs)) * serviceMs * gates,
  }
}

function createExactGate(
  servers: readonly SeenServer[],
  places: FleetPlaces,
  { slots, serviceMs }: GateOptions,
  { uniform }: Draws,
): Gate {
  return {
    ...createDemand(serviceMs, 1),
    count: servers.length,
    slots,
    uniform,
    busy: (replica) => servers[replica]!.running + servers[replica]!.line.length,
    holds: (replica, adapter) => servers[replica]!.held.has(adapter),
    holders: (adapter) => places.get(adapter) ?? [],
    send: () => undefined,
    finish: () => undefined,
  }
}

/** Others send as much as this gate does, to the same places, for all it knows. */
function createBlindGate(
  count: number,
  gates: number,
  { slots, serviceMs, resident }: GateOptions,
  { uniform }: Draws,
): Gate {
  const busy = new Float64Array(count)
  const held = Array.from({ length: count }, () => new Set<number>())
  return {
    ...createDemand(serviceMs, gates),
    count,
    slots,
    uniform,
    busy: (replica) => busy[replica]! * gates,
    holds: (replica, adapter) => held[replica]!.has(adapter),
    *holders(adapter) {
      for (let replica = 0; replica < count; replica++)
        if (held[replica]!.has(adapter)) yield replica
    },
    send(replica, adapter) {
      busy[replica]!++
      const own = held[replica]!
      own.delete(adapter)
      own.add(adapter)
      if (own.size > resident) own.delete(own.values().next().value!)
    },
    finish: (replica) => void busy[replica]!--,
  }
}
