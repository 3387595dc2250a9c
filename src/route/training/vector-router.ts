// A router over vectors of prompts: a head scores experts, the calibration gives the confidence,
// and kept examples give the reason. Shared by kinds that differ only in training.

import { OptionError } from '../../base/errors.ts'
import { computeConfidence } from '../calibration/fit-calibration.ts'
import {
  computeSoftmax,
  decideForBase,
  makeDecision,
  quoteText,
  rankExperts,
} from '../calibration/make-decision.ts'
import { findStuffedWord, listWords, shortenPrompt } from '../features/terms.ts'
import type { VectorHead } from '../heads/vector-head.ts'
import { type Calibration, type RouterFile, routerFileVersion } from '../router-file.ts'
import type {
  RouteClue,
  RouteDecision,
  RoutedExpert,
  Router,
  RouteRequest,
  TextEmbedder,
} from '../router.ts'
import type { KeptExamples } from './kept-examples.ts'

/** Everything that a decision depends on. */
export interface VectorRouterState {
  readonly kind: string
  readonly head: VectorHead
  readonly headKind: string
  /** The head's class for none of the experts, if it has one. */
  readonly none: number | undefined
  readonly experts: RouterFile['experts']
  readonly calibration: Calibration
  readonly examples: KeptExamples
  readonly options: Readonly<Record<string, unknown>>
  readonly trained: NonNullable<RouterFile['trained']>
}

const mostClues = 5
/** Words of which `explain` tries what the prompt is without each. */
const mostTriedWords = 24

/**
 * The reason why the base answers, if it is known without a vector; undefined if a vector is
 * needed.
 */
export function findPlainRefusal(text: string): string | undefined {
  const words = listWords(shortenPrompt(text))
  if (words.length === 0) return 'the prompt is empty'
  const stuffed = findStuffedWord(words)
  return stuffed === undefined
    ? undefined
    : `one word, ${quoteText(stuffed)}, fills most of the prompt`
}

export interface SplitScores {
  /** Of the experts. */
  readonly logits: Float64Array
  /** Of none of them. */
  readonly none: number | undefined
}

/** A head's scores of the experts, apart from that of its class for none. */
export function splitScores(all: Float64Array, none: number | undefined): SplitScores {
  if (none === undefined) return { logits: all, none }
  return { logits: all.filter((_, i) => i !== none), none: all[none] }
}

export class VectorRouter implements Router {
  readonly kind: string
  #state: VectorRouterState
  #names: readonly string[]
  readonly #embedder: TextEmbedder

  constructor(state: VectorRouterState, embedder: TextEmbedder) {
    this.kind = state.kind
    this.#state = state
    this.#names = state.experts.map(({ name }) => name)
    this.#embedder = embedder
  }

  get experts(): readonly string[] {
    return this.#names
  }

  async decide({ text }: RouteRequest, signal?: AbortSignal): Promise<RouteDecision> {
    signal?.throwIfAborted()
    const refusal = findPlainRefusal(text)
    if (refusal !== undefined) return decideForBase(refusal)
    const [features] = await this.#embedder.embed([text], signal)
    return this.#decide(features!)
  }

  #decide(features: Float32Array): RouteDecision {
    const { head, calibration, examples } = this.#state
    const { logits, none } = this.#score(features)
    const scores = rankExperts(this.experts, computeSoftmax(logits, calibration.temperature))
    const confidence = computeConfidence(logits, calibration, none)
    const best = this.experts.indexOf(scores[0]!.expert)
    const near = examples.findNearest(head.place(features), 1, best)[0]
    const because = near
      ? `it is like ${quoteText(near.text)}`
      : 'its vector is nearest to this expert’s examples'
    return makeDecision({ scores, confidence, calibration, because, features })
  }

  #score(features: Float32Array): SplitScores {
    return splitScores(this.#state.head.logits(features), this.#state.none)
  }

  async explain({ text }: RouteRequest, signal?: AbortSignal): Promise<RouteClue[]> {
    if (findPlainRefusal(text) !== undefined) return []
    const { head, examples } = this.#state
    const [vector] = await this.#embedder.embed([text], signal)
    const near = examples
      .findNearest(head.place(vector!), mostClues)
      .map(({ text: example, expert, similarity }): RouteClue => ({
        kind: 'example',
        text: example,
        expert: this.experts[expert],
        weight: similarity,
      }))
    const terms = await this.#weighWords(text, vector!, signal)
    return [...near, ...terms].toSorted((a, b) => Math.abs(b.weight) - Math.abs(a.weight))
  }

  /** By how much the best expert's share falls without each word of the prompt. */
  async #weighWords(
    text: string,
    vector: Float32Array,
    signal: AbortSignal | undefined,
  ): Promise<RouteClue[]> {
    const { temperature } = this.#state.calibration
    const shares = computeSoftmax(this.#score(vector).logits, temperature)
    const best = shares.indexOf(Math.max(...shares))
    const words = text
      .split(/\s+/)
      .filter((word) => word !== '')
      .slice(0, mostTriedWords)
    if (words.length < 2) return []
    const without = words.map((_, i) => words.filter((__, j) => j !== i).join(' '))
    const vectors = await this.#embedder.embed(without, signal)
    const clues = vectors.map((other, i): RouteClue => ({
      kind: 'term',
      text: words[i]!,
      expert: this.experts[best],
      weight: shares[best]! - computeSoftmax(this.#score(other).logits, temperature)[best]!,
    }))
    return clues.toSorted((a, b) => Math.abs(b.weight) - Math.abs(a.weight)).slice(0, mostClues)
  }

  async add({ name, sha256, examples: texts = [] }: RoutedExpert): Promise<void> {
    const { experts, head, examples } = this.#state
    if (experts.some((expert) => expert.name === name))
      throw new OptionError(`Router "${this.kind}": two experts have the name "${name}".`)
    if (texts.length === 0)
      throw new OptionError(
        `Router "${this.kind}": "${name}" has no examples. Give some, or routing.examples in its manifest.`,
      )
    const vectors = await this.#embedder.embed(texts)
    const places = vectors.map((vector) => head.place(vector))
    this.#state = {
      ...this.#state,
      experts: [...experts, { name, ...(sha256 !== undefined && { sha256 }) }],
      head: head.withClass(vectors),
      examples: examples.with(texts, experts.length, places),
    }
    this.#names = this.#state.experts.map((expert) => expert.name)
  }

  save(): RouterFile {
    const { head, headKind, none, experts, calibration, examples, options, trained } = this.#state
    const { sha256, settings } = this.#embedder
    return {
      format: 'graft-router',
      version: routerFileVersion,
      kind: this.kind,
      experts,
      embedder: { sha256, settings },
      calibration,
      options,
      trained,
      state: { headKind, none: none ?? null, head: head.write(), examples: examples.write() },
    }
  }
}
