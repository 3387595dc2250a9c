// Chooses the expert whose answers to the most similar earlier requests got the best scores.
// Requests are compared by hashed words unless an embedder is given. Independent of models.

import { FormatError, OptionError } from '../base/errors.ts'
import { integer, isRecord, number, readOptions, unchecked } from '../base/schema.ts'
import { hashTerms } from '../route/features/hashed-terms.ts'

/** Vectors of length 1. */
export type EmbedTexts = (texts: readonly string[]) => Promise<readonly Float32Array[]>

export interface PastResultsOptions {
  readonly embed?: EmbedTexts | undefined
  /** The most similar results of each agent that count. Default 8. */
  readonly neighbours?: number | undefined
  /** Results that are kept; the oldest go. Default 10,000. */
  readonly capacity?: number | undefined
  /** How many results an agent's mean over all requests counts for. Default 1. */
  readonly prior?: number | undefined
}

export interface PastResult {
  readonly text: string
  readonly agent: string
  /** From 0 to 1. */
  readonly score: number
}

export interface AgentChoice {
  readonly agent: string
  /** The score that is expected of it. */
  readonly expected: number
  /** One sentence. */
  readonly reason: string
  /** Of every agent with a result, the best first. */
  readonly scores: readonly { readonly agent: string; readonly expected: number }[]
}

export interface PastResults {
  readonly size: number
  /** Throws OptionError for a score outside 0 to 1. */
  add(result: PastResult): Promise<void>
  /** Undefined before any of these agents has a result. */
  choose(text: string, agents?: readonly string[]): Promise<AgentChoice | undefined>
  /** For `createPastResults` of another process; vectors are computed again. */
  toJSON(): readonly PastResult[]
}

const resultFields = {
  embed: unchecked<EmbedTexts>('a function that gives vectors'),
  neighbours: integer({ from: 1, default: 8 }),
  capacity: integer({ from: 1, default: 10_000 }),
  prior: number({ from: 0, default: 1 }),
}

const terms = 1024
const embedWords: EmbedTexts = async (texts) => texts.map((text) => hashTerms(text, terms))

interface KeptResult extends PastResult {
  readonly vector: Float32Array
}

/** `given`: results that are known already. Throws OptionError for unknown or wrong options. */
export async function createPastResults(
  options: PastResultsOptions = {},
  given: readonly PastResult[] = [],
): Promise<PastResults> {
  const { embed = embedWords, ...settings } = readOptions('Past results', options, resultFields)
  const results = new KeptResults(embed, settings)
  for (const result of given) await results.add(checkResult(result))
  return results
}

function checkResult(value: unknown): PastResult {
  if (isRecord(value) && typeof value['text'] === 'string' && typeof value['agent'] === 'string')
    return value as unknown as PastResult
  throw new FormatError('A past result is { text, agent, score }.')
}

interface ResultSettings {
  readonly neighbours: number
  readonly capacity: number
  readonly prior: number
}

class KeptResults implements PastResults {
  readonly #embed: EmbedTexts
  readonly #settings: ResultSettings
  readonly #kept: KeptResult[] = []

  constructor(embed: EmbedTexts, settings: ResultSettings) {
    this.#embed = embed
    this.#settings = settings
  }

  get size(): number {
    return this.#kept.length
  }

  async add({ text, agent, score }: PastResult): Promise<void> {
    if (!(score >= 0 && score <= 1))
      throw new OptionError(`Past results: got the score ${score}, expected one from 0 to 1.`)
    const [vector] = await this.#embed([text])
    this.#kept.push({ text, agent, score, vector: vector! })
    if (this.#kept.length > this.#settings.capacity) this.#kept.shift()
  }

  async choose(text: string, agents?: readonly string[]): Promise<AgentChoice | undefined> {
    const own = this.#kept.filter(({ agent }) => !agents || agents.includes(agent))
    if (own.length === 0) return undefined
    const [vector] = await this.#embed([text])
    const scores = [...Map.groupBy(own, ({ agent }) => agent)]
      .map(([agent, results]) => ({ agent, ...this.#expect(results, vector!) }))
      .sort((a, b) => b.expected - a.expected)
    const [best] = scores as [(typeof scores)[number]]
    const shown = best.near.toFixed(1)
    return {
      agent: best.agent,
      expected: best.expected,
      reason: `${best.agent} is expected to score ${best.expected.toFixed(2)}, by ${shown} similar results of ${best.count}.`,
      scores: scores.map(({ agent, expected }) => ({ agent, expected })),
    }
  }

  /** Mean over the nearest results, weighted by similarity, drawn to the mean over all. */
  #expect(results: readonly KeptResult[], vector: Float32Array) {
    const { neighbours, prior } = this.#settings
    const mean = results.reduce((sum, { score }) => sum + score, 0) / results.length
    const nearest = results
      .map(({ vector: own, score }) => ({ score, weight: Math.max(0, computeCosine(own, vector)) }))
      .sort((a, b) => b.weight - a.weight)
      .slice(0, neighbours)
    let near = 0
    let sum = prior * mean
    for (const { score, weight } of nearest) {
      near += weight
      sum += weight * score
    }
    const expected = near + prior > 0 ? sum / (near + prior) : mean
    return { expected, near, count: results.length }
  }

  toJSON(): readonly PastResult[] {
    return this.#kept.map(({ text, agent, score }) => ({ text, agent, score }))
  }
}

const computeCosine = (a: Float32Array, b: Float32Array): number => {
  let sum = 0
  for (let i = 0; i < a.length; i++) sum += a[i]! * b[i]!
  return sum
}
