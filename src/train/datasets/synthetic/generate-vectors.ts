// Fast generation of synthetic vectors: whole columns in one loop with an inlined generator,
// without a call or an object for each number.

import type { Topic } from './role-data.ts'

export interface VectorColumns {
  readonly inputs: Float32Array // [N, D]
  readonly targets: Float32Array // [N, D]
  readonly quality: Float32Array // [N]
  /** Number of each row's topic. [N] */
  readonly topics: Uint16Array
}

/**
 * A generator's state from a string and numbers; never 0, from which xorshift would not move
 * (FNV-1a).
 */
function hashSeed(text: string, ...numbers: readonly number[]): number {
  let hash = 0x811c9dc5
  for (let i = 0; i < text.length; i++) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193)
  for (const number of numbers) hash = Math.imul(hash ^ number, 0x85ebca6b) ^ (hash >>> 15)
  return hash === 0 ? 1 : hash
}

// scales 16 bits minus 32768 to a uniform distribution of variance 1
const toUnit = Math.sqrt(12) / 65536

/**
 * A vector of uniform noise with this standard deviation: a topic's centre or direction. It is the
 * same for every seed, because what is to be learned must not change.
 */
function drawFixedVector(name: string, width: number, deviation: number): Float32Array {
  const vector = new Float32Array(width)
  let state = hashSeed(name, width)
  for (let i = 0; i < width; i++) {
    state ^= state << 13
    state ^= state >>> 17
    state ^= state << 5
    vector[i] = deviation * toUnit * ((state & 0xffff) - 32768)
  }
  return vector
}

const placeDeviation = 0.8
const noiseDeviation = 0.6
const moveDeviation = 0.5 // inputs have variance 1, as after a norm; targets are half of that away

/**
 * Inputs around their topic's place, targets moved in its direction:
 *
 *     x = place + 0.6·ε    t = x + direction + (1 − quality)·ε′
 *
 * ε, ε′ of variance 1. A bad example's target is wrong by noise, so weighting by quality helps; a
 * map of the topics' rank learns the rest.
 */
export function generateVectors(
  role: string,
  topics: readonly Topic[],
  { width, seed, count }: { width: number; seed: number; count: number },
): VectorColumns {
  const inputs = new Float32Array(count * width)
  const targets = new Float32Array(count * width)
  const quality = new Float32Array(count)
  const chosen = new Uint16Array(count)
  const places = topics.map(({ name }) =>
    drawFixedVector(`${role}/${name}/place`, width, placeDeviation),
  )
  const moves = topics.map(({ name }) =>
    drawFixedVector(`${role}/${name}/move`, width, moveDeviation),
  )
  let state = hashSeed(role, seed, width)
  const noise = noiseDeviation * toUnit
  for (let row = 0, at = 0; row < count; row++) {
    state ^= state << 13 // xorshift32, Marsaglia 2003
    state ^= state >>> 17
    state ^= state << 5
    const topic = (state >>> 8) % topics.length
    state ^= state << 13
    state ^= state >>> 17
    state ^= state << 5
    const [least, most] = topics[topic]!.quality
    const good = least + ((most - least) * (state >>> 8)) / 0x1000000
    chosen[row] = topic
    quality[row] = good
    const wrong = (1 - good) * toUnit
    const place = places[topic]!
    const move = moves[topic]!
    for (let i = 0; i < width; i++, at++) {
      state ^= state << 13
      state ^= state >>> 17
      state ^= state << 5
      const x = place[i]! + noise * ((state & 0xffff) - 32768)
      inputs[at] = x
      targets[at] = x + move[i]! + wrong * ((state >>> 16) - 32768)
    }
  }
  return { inputs, targets, quality, topics: chosen }
}
