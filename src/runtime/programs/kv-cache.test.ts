import { describe, expect, it } from 'vitest'
import { OptionError } from '../../base/errors.ts'
import { f32, type Tensor } from '../../base/tensor.ts'
import { createKvCache, type KvCache } from './kv-cache.ts'

const shape = { layers: 2, kvHeads: 2, headWidth: 3 }

/**
 * New keys and values whose numbers say where they come from: layer, row, head and a running token
 * number.
 */
function entries(batch: number, tokens: number, from: readonly number[]): Map<string, Tensor> {
  const result = new Map<string, Tensor>()
  for (let layer = 0; layer < shape.layers; layer++) {
    for (const [p, part] of ['k', 'v'].entries()) {
      const tensor = f32([batch, shape.kvHeads, tokens, shape.headWidth])
      tensor.data.forEach((_, i) => {
        const t = Math.floor(i / 3) % tokens
        const head = Math.floor(i / (3 * tokens)) % 2
        const row = Math.floor(i / (6 * tokens))
        tensor.data[i] = value(layer, p, row, head, from[row]! + t)
      })
      result.set(`cache.${layer}.${part}`, tensor)
    }
  }
  return result
}

const value = (layer: number, part: number, row: number, head: number, position: number): number =>
  layer * 1e5 + part * 5e4 + row * 1e4 + head * 5e3 + position

/** Where the cache holds something else than row `rows[n]`'s tokens 0 … length − 1. */
function wrong(cache: KvCache, rows: readonly number[]): string[] {
  const found: string[] = []
  for (let layer = 0; layer < shape.layers; layer++) {
    for (const [p, part] of ['k', 'v'].entries()) {
      const { data } = cache.feeds().get(`past.${layer}.${part}`)! as Tensor<Float32Array>
      rows.forEach((row, n) => {
        for (let head = 0; head < 2; head++) {
          for (let s = 0; s < cache.lengths[n]!; s++) {
            const got = data[((n * 2 + head) * cache.capacity + s) * 3]!
            if (got !== value(layer, p, row, head, s))
              found.push(`layer ${layer}, row ${n}, head ${head}, slot ${s}: ${got}`)
          }
        }
      })
    }
  }
  return found
}

describe('the KV cache', () => {
  it('begins empty and grows in steps of 64 slots, keeping what it holds', () => {
    const cache = createKvCache(shape, 2)
    expect([cache.capacity, cache.feeds().get('past.1.v')!.shape]).toEqual([0, [2, 2, 0, 3]])
    cache.append(entries(2, 30, [0, 0]), [30, 20])
    expect([cache.capacity, cache.lengths]).toEqual([64, [30, 20]])
    for (let step = 0; step < 60; step++) cache.append(entries(2, 1, cache.lengths), [1, step % 2])
    expect([cache.capacity, cache.lengths]).toEqual([128, [90, 50]])
    expect(wrong(cache, [0, 1])).toEqual([])
    expect(cache.sizeBytes).toBe(2 * 2 * 2 * 2 * 128 * 3 * 4)
  })

  it('drops truncated entries, and continues from there', () => {
    const cache = createKvCache(shape, 1)
    cache.append(entries(1, 10, [0]), [10])
    cache.truncate(0, 4)
    cache.append(entries(1, 3, [4]), [3])
    expect(cache.lengths).toEqual([7])
    expect(wrong(cache, [0])).toEqual([])
    expect(() => cache.truncate(0, 8)).toThrow(OptionError)
    expect(() => cache.truncate(3, 0)).toThrow(OptionError)
  })

  it('forks rows that go their own way', () => {
    const cache = createKvCache(shape, 2)
    cache.append(entries(2, 5, [0, 0]), [5, 3])
    const fork = cache.fork([1, 1, 0])
    fork.truncate(2, 1)
    expect([fork.lengths, cache.lengths]).toEqual([
      [3, 3, 1],
      [5, 3],
    ])
    expect([wrong(fork, [1, 1, 0]), wrong(cache, [0, 1])]).toEqual([[], []])
    ;(fork.feeds().get('past.0.k')!.data as Float32Array).fill(0)
    expect(wrong(cache, [0, 1])).toEqual([])
  })
})
