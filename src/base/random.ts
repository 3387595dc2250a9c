// Seeded random numbers: the same seed gives the same numbers on every platform. Never reads a
// clock.

export interface Random {
  /** A 32-bit unsigned integer. */
  uint32(): number
  /** Uniform in [0, 1). */
  uniform(): number
  /** Standard normal (Box–Muller). */
  normal(): number
  /** An integer in [0, below). */
  integer(below: number): number
  /** A new order of the items, the argument unchanged (Fisher–Yates). */
  shuffle<T>(items: readonly T[]): T[]
  /** The whole state; `random(state)` continues from there. */
  state(): RandomState
}

export type RandomState = readonly [number, number, number, number]

const createSplitMix = (seed: number) => (): number => {
  seed = (seed + 0x9e3779b9) | 0
  let z = seed
  z = Math.imul(z ^ (z >>> 16), 0x85ebca6b)
  z = Math.imul(z ^ (z >>> 13), 0xc2b2ae35)
  return (z ^ (z >>> 16)) >>> 0
}

/** A generator from a seed or from a saved state (xoshiro128**, Blackman and Vigna 2018). */
export function random(seed: number | RandomState): Random {
  const start = typeof seed === 'number' ? createSplitMix(seed | 0) : undefined
  let [a, b, c, d] = start ? [start(), start(), start(), start()] : (seed as RandomState)
  const rotate = (x: number, k: number): number => (x << k) | (x >>> (32 - k))
  const uint32 = (): number => {
    const result = Math.imul(rotate(Math.imul(b, 5), 7), 9) >>> 0
    const t = b << 9
    c ^= a
    d ^= b
    b ^= c
    a ^= d
    c ^= t
    d = rotate(d, 11)
    return result
  }
  const uniform = (): number => (uint32() >>> 8) / 0x1000000 // 24 bits: exact in f32 too
  return {
    uint32,
    uniform,
    normal: () => Math.sqrt(-2 * Math.log(1 - uniform())) * Math.cos(2 * Math.PI * uniform()),
    integer: (below) => Math.floor((uint32() / 0x100000000) * below),
    shuffle: (items) => {
      const order = [...items]
      for (let i = order.length - 1; i > 0; i--) {
        const j = Math.floor((uint32() / 0x100000000) * (i + 1))
        ;[order[i], order[j]] = [order[j]!, order[i]!]
      }
      return order
    },
    state: () => [a, b, c, d],
  }
}
