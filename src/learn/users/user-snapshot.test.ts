import { expect, it } from 'vitest'
import type { Head } from '../../runtime/index.ts'
import { createHeadLoss } from '../tiers/head-gradient.ts'
import { createTierStack } from '../tiers/tier-stack.ts'
import { captureTiers, clearTiers, rollBackFastTier, rollBackMemory } from './user-snapshot.ts'

const head = { width: 16, vocabularySize: 8, softcap: 0 } as Head

it('restores fast tier and memory each for itself, and empties them without a snapshot', () => {
  const tiers = createTierStack(head, createHeadLoss(head), { fast: { rank: 2 } })
  const user = { tiers, layerTier: undefined }
  const hidden = new Float32Array(16).map((_, i) => i - 7)
  const step = (): void => {
    tiers.fast!.step(hidden, hidden, 1)
    tiers.memory!.add(hidden, 3)
    tiers.gate.weights[0]! -= 0.5
  }
  step()
  const snapshot = captureTiers(user)
  const weights = tiers.fast!.B.data.slice()
  const gate = tiers.gate.weights[0]
  step()
  rollBackFastTier(user, snapshot)
  expect([tiers.fast!.B.data, tiers.fast!.steps, tiers.memory!.count]).toEqual([weights, 1, 2])
  rollBackMemory(user, snapshot)
  expect([tiers.memory!.count, tiers.gate.weights[0]]).toEqual([1, gate])
  step()
  expect([snapshot.memory!.tokens.length, snapshot.gate.weights[0]]).toEqual([1, gate])
  rollBackFastTier(user, undefined)
  rollBackMemory(user, undefined)
  expect([tiers.fast!.steps, tiers.memory!.count]).toEqual([0, 0])
  step()
  clearTiers(user)
  expect([tiers.fast!.steps, tiers.memory!.count]).toEqual([0, 0])
})
