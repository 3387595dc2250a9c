import { createHash } from 'node:crypto'
import { describe, expect, it } from 'vitest'
import { BlockKeyChain, computeBlockKeys, type PrefixIdentity } from './block-keys.ts'

const identity: PrefixIdentity = {
  base: 'b',
  expert: 'e',
  tenant: 't',
  accuracy: 'fast',
  pieceSize: 32,
}
const tokens = Array.from({ length: 70 }, (_, i) => (i * 7919) % 49_152)

/** The definition, by another SHA-256. */
function computeReference(of: PrefixIdentity, ids: readonly number[]): string[] {
  const { base, expert, tenant = null, accuracy, pieceSize, element = 'f32' } = of
  const root = JSON.stringify([base, expert, tenant, accuracy, pieceSize, element])
  let state = createHash('sha256').update(root).digest()
  const mark = tenant && `${createHash('sha256').update(tenant).digest('hex').slice(0, 16)}-`
  const keys: string[] = []
  for (let at = 0; at + 16 <= ids.length; at += 16) {
    const words = Buffer.alloc(64)
    ids.slice(at, at + 16).forEach((id, i) => words.writeInt32BE(id, 4 * i))
    state = createHash('sha256').update(state).update(words).digest()
    keys.push((mark ?? '') + state.toString('hex'))
  }
  return keys
}

describe('keys of blocks', () => {
  it('are a chain of SHA-256 over 16 tokens each', () => {
    expect(computeBlockKeys(identity, tokens)).toEqual(computeReference(identity, tokens))
    const { tenant: _, ...open } = identity
    expect(computeBlockKeys(open, tokens)).toEqual(computeReference(open, tokens))
    expect(computeBlockKeys(identity, tokens)).toHaveLength(4)
    expect(computeBlockKeys(identity, tokens.slice(0, 15))).toEqual([])
  })

  it('grow with the tokens, in whatever pieces they come', () => {
    const chain = new BlockKeyChain(identity)
    const lengths: number[] = []
    for (const piece of [tokens.slice(0, 5), [], tokens.slice(5, 40), tokens.slice(40)]) {
      chain.append(piece)
      lengths.push(chain.keys.length)
    }
    expect(lengths).toEqual([0, 0, 2, 4])
    expect(chain.keys).toEqual(computeBlockKeys(identity, tokens))
  })

  it('depend on every token before their end, and on none behind', () => {
    const keys = computeBlockKeys(identity, tokens)
    for (const at of [0, 15, 16, 47, 63, 64]) {
      const changed = computeBlockKeys(identity, tokens.with(at, 1))
      const block = Math.floor(at / 16)
      expect(changed.slice(0, block)).toEqual(keys.slice(0, block))
      for (let i = block; i < keys.length; i++) expect(changed[i]).not.toBe(keys[i])
    }
  })

  it('differ where anything differs that computes the tokens', () => {
    const others: PrefixIdentity[] = [
      identity,
      { ...identity, base: 'c' },
      { ...identity, expert: '' },
      { ...identity, tenant: '' },
      { base: 'b', expert: 'e', accuracy: 'fast', pieceSize: 32 },
      { ...identity, accuracy: 'exact' },
      { ...identity, pieceSize: 64 },
      { ...identity, base: 'b","e', expert: '' }, // would run together without a frame
      { ...identity, base: 'be', expert: '' },
    ]
    const keys = others.flatMap((other) => computeBlockKeys(other, tokens))
    expect(new Set(keys).size).toBe(keys.length)
  })
})
