// A fleet of replicas that serve many adapters, in simulated time: requests come by Poisson,
// adapters are drawn by Zipf, a replica answers some at a time and keeps the adapters used last.
// Does not model batching effects, prefix caches and failures.

import { createDraws, createZipf, type Draws } from './draws.ts'
import { EventHeap } from './event-heap.ts'
import { createGates, type Gate } from './gate-view.ts'
import { fleetPolicies } from './policy-table.ts'

export interface FleetOptions {
  readonly adapters: number
  readonly replicas: number
  /** Adapters that a replica keeps. */
  readonly resident: number
  readonly exponent: number
  readonly requests: number
  readonly policy: string
  /** Gates that send requests, each by what went through it alone. Default 1. */
  readonly gates?: number
  /** Of what the fleet could answer with every adapter resident. Default 0.7. */
  readonly load?: number
  readonly slots?: number
  /** Milliseconds of an answer, and of fetching an adapter. */
  readonly serviceMs?: number
  readonly loadMs?: number
  readonly seed?: number
}

export interface FleetResult {
  /** Requests that found their adapter resident, 0 to 1. */
  readonly hitShare: number
  readonly waitMs: { readonly p50: number; readonly p99: number }
  readonly requestsPerSecond: number
  /** Fetched by a replica each second. */
  readonly fetchesPerSecond: number
}

interface WaitingRequest {
  readonly adapter: number
  readonly at: number
  readonly gate: Gate
  readonly isCounted: boolean
}

/** A replica of the simulation. */
class FleetServer {
  running = 0
  readonly line: WaitingRequest[] = []
  /** The last used last. */
  readonly held = new Set<number>()
}

interface Counts {
  hits: number
  loads: number
  readonly waits: number[]
}

export function simulateFleet(given: FleetOptions): FleetResult {
  const options = {
    gates: 1,
    load: 0.7,
    slots: 8,
    serviceMs: 1000,
    loadMs: 200,
    seed: 12345,
    ...given,
  }
  const policy = fleetPolicies[options.policy]
  if (!policy) throw new Error(`There is no policy ${options.policy}.`)
  const draws = createDraws(options.seed)
  const draw = createZipf(draws, options.adapters, options.exponent)
  const servers = Array.from({ length: options.replicas }, () => new FleetServer())
  const places = new Map<number, Set<number>>()
  const gates = createGates(options.gates, { servers, places }, options, draws)
  const counts: Counts = { hits: 0, loads: 0, waits: [] }
  const ends = new EventHeap<readonly [replica: number, gate: Gate]>()
  const run = { servers, places, ends, counts, draws, ...options }
  const gap = options.serviceMs / (options.load * options.replicas * options.slots)
  const warm = options.requests / 2
  let now = 0
  let measuredFrom = 0
  for (let i = 0; i < options.requests; i++) {
    now += draws.exponential(gap)
    while (ends.next <= now) endOne(run)
    if (i === warm) measuredFrom = now
    const adapter = draw()
    const gate = gates[i % gates.length]!
    gate.note(adapter, now)
    const replica = policy(gate, adapter)
    gate.send(replica, adapter)
    const request = { adapter, at: now, gate, isCounted: i >= warm }
    const server = servers[replica]!
    if (server.running < options.slots) startAnswer(run, replica, request, now)
    else server.line.push(request)
  }
  return summarize(counts, (now - measuredFrom) / 1000, options)
}

interface FleetRun {
  readonly servers: readonly FleetServer[]
  readonly places: Map<number, Set<number>>
  readonly ends: EventHeap<readonly [replica: number, gate: Gate]>
  readonly counts: Counts
  readonly draws: Draws
  readonly resident: number
  readonly serviceMs: number
  readonly loadMs: number
}

function endOne(run: FleetRun): void {
  const time = run.ends.next
  const [replica, gate] = run.ends.pop()
  const server = run.servers[replica]!
  server.running--
  gate.finish(replica)
  const next = server.line.shift()
  if (next) startAnswer(run, replica, next, time)
}

function startAnswer(run: FleetRun, replica: number, request: WaitingRequest, time: number): void {
  const { counts, draws, serviceMs } = run
  const server = run.servers[replica]!
  server.running++
  const isHit = server.held.delete(request.adapter)
  server.held.add(request.adapter)
  if (!isHit) place(run, replica, request.adapter)
  const loading = isHit ? 0 : run.loadMs
  if (request.isCounted) {
    if (isHit) counts.hits++
    else counts.loads++
    counts.waits.push(time - request.at + loading)
  }
  run.ends.push(time + loading + draws.exponential(serviceMs), [replica, request.gate])
}

/** Notes an adapter that was fetched, and the one that gives way. */
function place({ servers, places, resident }: FleetRun, replica: number, adapter: number): void {
  const { held } = servers[replica]!
  const own = places.get(adapter)
  if (own) own.add(replica)
  else places.set(adapter, new Set([replica]))
  if (held.size <= resident) return
  const oldest = held.values().next().value!
  held.delete(oldest)
  const left = places.get(oldest)!
  left.delete(replica)
  if (left.size === 0) places.delete(oldest)
}

function summarize(
  { hits, loads, waits }: Counts,
  seconds: number,
  { replicas }: FleetOptions,
): FleetResult {
  const sorted = Float64Array.from(waits).sort()
  return {
    hitShare: hits / (hits + loads),
    waitMs: { p50: sorted[sorted.length >> 1]!, p99: sorted[Math.floor(sorted.length * 0.99)]! },
    requestsPerSecond: waits.length / seconds,
    fetchesPerSecond: loads / seconds / replicas,
  }
}
