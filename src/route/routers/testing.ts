// Shared by tests of routers: experts with examples, and an embedder that needs no model.

import { random } from '../../base/random.ts'
import type { RouteExample, RouterTraining, TextEmbedder } from '../router.ts'

const verbs = ['show', 'give', 'find', 'write', 'tell', 'make']
const nouns: Readonly<Record<string, readonly string[]>> = {
  sql: ['table', 'query', 'rows', 'database', 'columns', 'join'],
  music: ['song', 'playlist', 'album', 'artist', 'track', 'band'],
  weather: ['rain', 'forecast', 'temperature', 'snow', 'wind', 'storm'],
  maths: ['sum', 'fraction', 'equation', 'percent', 'triangle', 'number'],
}

export const expertNames = Object.keys(nouns)

/** Prompts of four experts that share their verbs and differ in their nouns. */
export function createExamples(each: number, seed: number): RouteExample[] {
  const { integer } = random(seed)
  const pick = <T>(list: readonly T[]): T => list[integer(list.length)]!
  return expertNames.flatMap((expert) =>
    Array.from({ length: each }, () => ({
      text: `please ${pick(verbs)} me the ${pick(nouns[expert]!)} and the ${pick(nouns[expert]!)}`,
      expert,
    })),
  )
}

export const createTraining = (each = 30): RouterTraining => ({
  experts: expertNames.map((name) => ({ name })),
  examples: createExamples(each, 1),
  held: [],
  seed: 0,
})

/** Words hashed into a vector of 64 numbers. */
export function createWordEmbedder(sha256 = 'a'.repeat(64)): TextEmbedder & { calls: number } {
  const width = 64
  const embedder = {
    settings: { words: width },
    sha256,
    width,
    calls: 0,
    async embed(texts: readonly string[], signal?: AbortSignal): Promise<Float32Array[]> {
      signal?.throwIfAborted()
      embedder.calls++
      return texts.map((text) => {
        const vector = new Float32Array(width)
        for (const word of text.toLowerCase().split(/\s+/).slice(0, 2000)) {
          const seed = Array.from(word).reduce((sum, c) => (sum * 31 + c.codePointAt(0)!) | 0, 7)
          const { normal } = random(seed)
          for (let i = 0; i < width; i++) vector[i]! += normal()
        }
        const length = Math.sqrt(vector.reduce((sum, value) => sum + value * value, 0)) || 1
        return vector.map((value) => value / length)
      })
    },
  }
  return embedder
}
