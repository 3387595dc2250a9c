// The contract of routers: requests, decisions, and the rows of router-table.ts. A router picks,
// per request, one expert, a weighted mixture, or none (the base answers), with a confidence and a
// reason. Independent of models, files and the server.

import type { Adapter } from '../adapters/adapter.ts'
import type { Fields } from '../base/schema.ts'
import type { Backend } from '../compute/backend.ts'
import type { ChatMessage } from '../formats/text/chat-template.ts'
import type { Tokenizer } from '../formats/text/tokenizer.ts'
import type { Model } from '../runtime/model.ts'
import type { RouterFile } from './router-file.ts'

/** What is known about a request before it is answered. */
export interface RouteRequest {
  /** What the request asks: the last message of the user, or the prompt. */
  readonly text: string
  readonly messages?: readonly ChatMessage[] | undefined
  readonly session?: string | undefined
  readonly user?: string | undefined
  /** Experts in memory now: the others cost the time of loading. */
  readonly resident?: readonly string[] | undefined
}

/** An expert and how likely it is the right one, 0–1. */
export interface ExpertScore {
  readonly expert: string
  readonly score: number
}

export interface RouteDecision {
  /** undefined: the base answers. */
  readonly expert: string | undefined
  /** Experts that answer together, as one exact mixture; `expert` is then the heaviest. */
  readonly mixture?: readonly { readonly name: string; readonly weight: number }[] | undefined
  /** How likely it is that `scores[0].expert` is right, 0–1; calibrated where the router was. */
  readonly confidence: number
  /** Best first; may leave out experts of score 0. */
  readonly scores: readonly ExpertScore[]
  /** One sentence without control codes, for people and for logs. */
  readonly reason: string
  /** Which kind decided, where a router asks others. */
  readonly by?: string | undefined
  /** A tier of experts that is sufficient, if the router predicts one. */
  readonly tier?: string | undefined
  /** The probability with which this choice was drawn. Default 1: it was not drawn. */
  readonly propensity?: number | undefined
  /** What the router went by, for the log. */
  readonly features?: Float32Array | undefined
}

/** A decision as part of a response. */
export interface RouteReport {
  /** The chosen expert, as a request would name it; null: the base, or the upstream. */
  readonly expert: string | null
  /** How likely it is that the router's best expert is right, 0–1. */
  readonly confidence: number
  readonly reason: string
  /** The kind of router that decided. */
  readonly by: string
  /** The host that answers instead. */
  readonly upstream?: string | undefined
}

/** The choice, and the score of each expert. */
export interface RouteExplanation extends RouteReport {
  /** Best first; experts of score 0 may be left out. */
  readonly scores: readonly ExpertScore[]
}

/** One piece of evidence for an expert. */
export interface RouteClue {
  readonly kind: 'example' | 'term' | 'pattern' | 'cluster' | 'step' | 'weight'
  /** The example's text, the term, the pattern. */
  readonly text: string
  readonly expert: string | undefined
  /** Similarity, or how much it added to the expert's score. */
  readonly weight: number
}

/** The outcome of a decision. */
export interface RouteFeedback {
  readonly request: RouteRequest
  readonly decision: RouteDecision
  /** How good the answer was, 0–1. */
  readonly reward?: number | undefined
  /** The expert that would have been right; null: none of them. */
  readonly right?: string | null | undefined
}

export interface Router {
  /** A row of `routerKinds`. */
  readonly kind: string
  readonly experts: readonly string[]
  /** Throws the signal's reason when it is aborted. Never throws because of the text. */
  decide(request: RouteRequest, signal?: AbortSignal): RouteDecision | Promise<RouteDecision>
  /** What spoke for the experts, the strongest first. */
  explain?(request: RouteRequest, signal?: AbortSignal): RouteClue[] | Promise<RouteClue[]>
  /** Updates the router by the outcome of a decision. */
  learn?(feedback: RouteFeedback): void | Promise<void>
  /** Adds an expert by its examples, without training again. */
  add?(expert: RoutedExpert): void | Promise<void>
  /** The router as a file, from which the kind's `load` gives one that decides alike. */
  save(): RouterFile
}

/** An expert as routers know it. */
export interface RoutedExpert {
  readonly name: string
  /** Content hash of its folder. */
  readonly sha256?: string | undefined
  /** From `routing` of its manifest. */
  readonly keywords?: readonly string[] | undefined
  readonly examples?: readonly string[] | undefined
  readonly description?: string | undefined
  readonly adapter?: Adapter | undefined
}

/** A prompt whose right expert is known; undefined: none of them (out of scope). */
export interface RouteExample {
  readonly text: string
  readonly expert: string | undefined
  /** The tier of experts that is enough, where it is known. */
  readonly tier?: string | undefined
}

/** The inputs of training a router. */
export interface RouterTraining {
  readonly experts: readonly RoutedExpert[]
  readonly examples: readonly RouteExample[]
  /** Kept out of fitting, for calibration. Empty: each kind holds out a part of `examples`. */
  readonly held: readonly RouteExample[]
  readonly seed: number
}

/** Vectors of texts. The same text gives the same vector in any batch. */
export interface TextEmbedder {
  /** What the vectors depend on (model, layers, pooling), as it is saved in a file. */
  readonly settings: Readonly<Record<string, unknown>>
  /** A hash of the model behind it. */
  readonly sha256: string
  readonly width: number
  /** Widths of parts of different kinds, which together are `width`. Default: one part. */
  readonly parts?: readonly number[] | undefined
  embed(texts: readonly string[], signal?: AbortSignal): Promise<Float32Array[]>
}

/** Reads the inputs of linear layers for a prompt, by module: [T, D_in]. */
export type StateReader = (
  text: string,
  signal?: AbortSignal,
) => Promise<ReadonlyMap<string, Float32Array>>

/** The base's states within its layers. */
export interface StateSource {
  /** A hash of the base. */
  readonly sha256: string
  /** Layers that the base has. */
  readonly layers: number
  /** Reads what enters these modules, by full path. */
  open(modules: readonly string[]): StateReader
  dispose(): Promise<void>
}

/**
 * Inputs that kinds may need in addition to the prompts; each is present if the caller passes it.
 */
export interface RouterParts {
  readonly embedder?: TextEmbedder | undefined
  readonly tokenizer?: Tokenizer | undefined
  /** Opens the base's states within its layers. */
  readonly states?: (() => Promise<StateSource>) | undefined
  /** The base, for kinds that answer by it. */
  readonly model?: Model | undefined
  /** Runs graphs in training; without it the slow reference interpreter does. */
  readonly backend?: Backend | undefined
  /** Adapters of the experts, by name. */
  readonly adapters?: ReadonlyMap<string, Adapter> | undefined
  /** Reads a router within a router. */
  readonly load?: ((file: RouterFile) => Promise<Router>) | undefined
  /** Trains a router within a router; its options are checked. */
  readonly train?:
    | ((
        kind: string,
        training: RouterTraining,
        options: Readonly<Record<string, unknown>>,
      ) => Promise<Router>)
    | undefined
}

/** A row of the table. */
export interface RouterKind {
  /** 'keyword' */
  readonly kind: string
  /** One line for lists. */
  readonly about: string
  /** What it cannot do without. */
  readonly needs: readonly (keyof RouterParts)[]
  /** Options of training, checked before `train` is called, with their defaults filled in. */
  readonly fields: Fields
  train(
    training: RouterTraining,
    options: Readonly<Record<string, unknown>>,
    parts: RouterParts,
  ): Router | Promise<Router>
  /** Throws FormatError for a file that it cannot be made of. */
  load(file: RouterFile, parts: RouterParts): Router | Promise<Router>
}
