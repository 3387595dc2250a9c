// Snapshots of the tiers that learn from turn to turn, and rollbacks to them. Independent of when
// they are taken.

import type { HeadTier } from '../tiers/head-tier.ts'
import type { LayerTier } from '../tiers/layer-tier.ts'
import type { EntriesSnapshot } from '../tiers/memory-entries.ts'
import type { GateState } from '../tiers/memory-gate.ts'
import type { TierStack } from '../tiers/tier-stack.ts'

/** One user's tiers that learn from turn to turn. */
export interface UserTiers {
  readonly tiers: TierStack
  /** The fast tier on layers, if the learner has one. */
  readonly layerTier: LayerTier | undefined
}

interface TierSnapshot {
  readonly tensors: ReadonlyMap<string, Float32Array>
  readonly steps: number
  readonly lastRelativeStep: number
}

export interface UserSnapshot {
  readonly fast: TierSnapshot | undefined
  readonly layerTier: TierSnapshot | undefined
  readonly memory: EntriesSnapshot | undefined
  readonly gate: GateState
}

export const copyGate = ({ weights, squares, updates }: GateState): GateState => ({
  weights: weights.slice(),
  squares: squares.slice(),
  updates,
})

const captureTier = (tier: HeadTier | LayerTier): TierSnapshot => ({
  tensors: new Map([...tier.tensors()].map(([name, { data }]) => [name, data.slice()])),
  steps: tier.steps,
  lastRelativeStep: tier.lastRelativeStep,
})

/** A snapshot of the tiers; the memory's part of the one before can no longer be restored. */
export const captureTiers = ({ tiers, layerTier }: UserTiers): UserSnapshot => ({
  fast: tiers.fast && captureTier(tiers.fast),
  layerTier: layerTier && captureTier(layerTier),
  memory: tiers.memory?.takeSnapshot(),
  gate: copyGate(tiers.gate),
})

function restoreTier(tier: HeadTier | LayerTier, snapshot: TierSnapshot | undefined): void {
  if (!snapshot) return tier.clear()
  const current = tier.tensors()
  tier.restore(
    new Map([...snapshot.tensors].map(([name, data]) => [name, { ...current.get(name)!, data }])),
    snapshot.steps,
  )
  tier.lastRelativeStep = snapshot.lastRelativeStep
}

/** Rolls the fast tier back to the snapshot; empties it if there is none. */
export function rollBackFastTier(
  { tiers: { fast }, layerTier }: UserTiers,
  snapshot: UserSnapshot | undefined,
): void {
  if (fast) restoreTier(fast, snapshot?.fast)
  if (layerTier) restoreTier(layerTier, snapshot?.layerTier)
}

/** Rolls memory and gate back to the snapshot; empties the memory if there is none. */
export function rollBackMemory(
  { tiers: { memory, gate } }: UserTiers,
  snapshot: UserSnapshot | undefined,
): void {
  if (!memory) return
  if (!snapshot?.memory) return memory.clear()
  memory.restoreSnapshot(snapshot.memory)
  Object.assign(gate, copyGate(snapshot.gate))
}

/** Empties the tiers that learn from turn to turn; the slow tier stays. */
export function clearTiers({ tiers, layerTier }: UserTiers): void {
  tiers.clear()
  layerTier?.clear()
}
