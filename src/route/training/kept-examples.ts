// Some examples of each expert, kept in a router's file with their positions in the head's space,
// as readable reasons.

import { FormatError } from '../../base/errors.ts'
import { describeValue, isRecord } from '../../base/schema.ts'
import { readIntegers, readNumbers, writeBytes, writeIntegers } from '../features/number-array.ts'
import { computeDot } from '../heads/vector-head.ts'
import type { NumberedPrompt } from './training-set.ts'

export interface NearExample {
  readonly text: string
  readonly expert: number
  /** 1 at the prompt's own place, falling with the distance. */
  readonly similarity: number
}

/** Characters of an example that are kept. */
const keptCharacters = 200

export class KeptExamples {
  readonly #texts: readonly string[]
  readonly #experts: Int32Array
  /** [N, K] */
  readonly #places: Float32Array

  constructor(texts: readonly string[], experts: Int32Array, places: Float32Array) {
    this.#texts = texts
    this.#experts = experts
    this.#places = places
  }

  /** The nearest ones, the nearest first; of one expert where it is given. */
  findNearest(place: Float32Array, most: number, expert?: number): NearExample[] {
    const width = place.length
    const own = computeDot(place, place)
    const found = this.#texts.flatMap((text, i): NearExample[] => {
      if (expert !== undefined && this.#experts[i] !== expert) return []
      const row = this.#places.subarray(i * width, (i + 1) * width)
      const length = Math.sqrt(own * computeDot(row, row))
      const similarity = length > 0 ? computeDot(place, row) / length : 0
      return [{ text, expert: this.#experts[i]!, similarity }]
    })
    return found.toSorted((a, b) => b.similarity - a.similarity).slice(0, most)
  }

  with(texts: readonly string[], expert: number, places: readonly Float32Array[]): KeptExamples {
    return new KeptExamples(
      [...this.#texts, ...texts.map((text) => text.slice(0, keptCharacters))],
      Int32Array.from([...this.#experts, ...texts.map(() => expert)]),
      joinVectors([this.#places, ...places]),
    )
  }

  write(): Readonly<Record<string, unknown>> {
    const count = this.#texts.length
    const width = count === 0 ? 0 : this.#places.length / count
    return {
      texts: this.#texts,
      experts: writeIntegers(this.#experts),
      places: writeBytes(this.#places, [count, width]),
    }
  }
}

function joinVectors(rows: readonly Float32Array[]): Float32Array {
  const all = new Float32Array(rows.reduce((sum, { length }) => sum + length, 0))
  let at = 0
  for (const row of rows) {
    all.set(row, at)
    at += row.length
  }
  return all
}

/** The first examples of each expert, up to a number. */
export function keepExamples(
  examples: readonly NumberedPrompt[],
  place: (index: number) => Float32Array,
  each: number,
): KeptExamples {
  const counts = new Map<number, number>()
  const kept = examples.flatMap(({ expert }, i) => {
    const count = counts.get(expert) ?? 0
    counts.set(expert, count + 1)
    return count < each ? [i] : []
  })
  const made = new KeptExamples(
    kept.map((i) => examples[i]!.text.slice(0, keptCharacters)),
    Int32Array.from(kept, (i) => examples[i]!.expert),
    joinVectors(kept.map(place)),
  )
  // in 8 bits, as the file will hold them
  return readExamples(made.write(), Infinity)
}

/** Reads what `write` wrote. Throws FormatError. */
export function readExamples(value: unknown, experts: number): KeptExamples {
  if (!isRecord(value) || !Array.isArray(value['texts']))
    throw new FormatError(`state.examples: got ${describeValue(value)}, expected texts and places.`)
  const texts = value['texts'] as unknown[]
  const numbers = readIntegers(value['experts'], 'state.examples.experts')
  const { data, shape } = readNumbers(value['places'], 2, 'state.examples.places')
  const isRight =
    texts.every((text) => typeof text === 'string') &&
    numbers.length === texts.length &&
    shape[0] === texts.length &&
    numbers.every((expert) => expert >= 0 && expert < experts)
  if (!isRight)
    throw new FormatError(
      `state.examples: got ${texts.length} texts, ${numbers.length} experts and places [${shape.join(', ')}], expected as many of each.`,
    )
  return new KeptExamples(texts as string[], numbers, data)
}
