// Seeded draws: times between requests, adapters by Zipf, a hash for rendezvous.

import { random } from '../../src/base/random.ts'

export interface Draws {
  /** In [0, 1). */
  uniform(): number
  /** Of this mean. */
  exponential(mean: number): number
}

export function createDraws(seed: number): Draws {
  const { uniform } = random(seed)
  return { uniform, exponential: (mean) => -Math.log(1 - uniform()) * mean }
}

/** Draws numbers below `count`; number i has a share of (i + 1)^−exponent. */
export function createZipf({ uniform }: Draws, count: number, exponent: number): () => number {
  const upTo = new Float64Array(count)
  let all = 0
  for (let i = 0; i < count; i++) upTo[i] = all += (i + 1) ** -exponent
  return () => {
    const at = uniform() * all
    let low = 0
    let high = count - 1
    while (low < high) {
      const middle = (low + high) >> 1
      if (upTo[middle]! < at) low = middle + 1
      else high = middle
    }
    return low
  }
}

/** 32 bits of a pair, well mixed. */
export function hashPair(a: number, b: number): number {
  let hash = Math.imul(a ^ 0x9e3779b9, 0x85ebca6b) ^ Math.imul(b + 0x7f4a7c15, 0xc2b2ae35)
  hash = Math.imul(hash ^ (hash >>> 15), 0x2c1b3c6d)
  hash = Math.imul(hash ^ (hash >>> 12), 0x297a2d39)
  return (hash ^ (hash >>> 15)) >>> 0
}
