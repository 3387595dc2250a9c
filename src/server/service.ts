// What the server's routes need of a model, its engine and its experts, in plain messages: strings,
// numbers, plain objects, typed arrays, async generators and signals. So the service may run in a
// worker, and HTTP stays responsive while the model computes.

import type { StatePooling } from '../adapters/serving/pooling.ts'
import type { GrammarChoice } from '../formats/grammar/grammar-choice.ts'
import type { ChatMessage } from '../formats/text/chat-template.ts'
import type { SamplingOptions } from '../runtime/decode/sampling-options.ts'
import type { RouteExplanation, RouteReport } from '../route/router.ts'
import type {
  AdapterScale,
  EmbeddingResult,
  EmbedRequest,
  ExpertChoice,
  PlainPrompt,
} from './expert-choice.ts'
import type { UserService } from './user-service.ts'
import type { EngineStatistics } from '../runtime/engine/engine.ts'

export type { AdapterScale, ExpertChoice, PlainPrompt } from './expert-choice.ts'

/** The base that is served. */
export interface ServedBase {
  readonly name: string
  /** Other names by which requests may ask for it. */
  readonly aliases: readonly string[]
  readonly contextTokens: number
  /** Size of the vocabulary: prompt ids are below it. */
  readonly vocabularySize: number
  /** Seconds since 1970. */
  readonly openedAt: number
  /** Sequences that run at a time. */
  readonly maxRows: number
  readonly chatTemplate: string
  /** The kind of the router behind the model "auto", if there is one. */
  readonly router?: string | undefined
  /** The texts of special tokens by name: `bos_token`. */
  readonly specialTokens: Readonly<Record<string, string>>
}

/** A conversation and the settings of its prompt. */
export interface Conversation {
  readonly messages: readonly ChatMessage[]
  /** Functions that the model may call, in OpenAI's form. */
  readonly tools?: readonly unknown[] | undefined
  /** OpenAI's `tool_choice`. */
  readonly toolChoice?: unknown
  /** Limits the answer to one call. */
  readonly oneCall?: boolean | undefined
  /** Further variables of the chat template. */
  readonly variables?: Readonly<Record<string, unknown>> | undefined
  /** Opens the assistant's turn. Default: unless the last message is the assistant's. */
  readonly opensAnswer?: boolean | undefined
}

export interface AnswerRequest extends ExpertChoice {
  /** One conversation, or texts and token ids. */
  readonly conversation?: Conversation | undefined
  readonly prompts?: readonly PlainPrompt[] | undefined
  /** Answers of each prompt; the one of prompt p and copy c has the index p · copies + c. */
  readonly copies: number
  /** Limit of new tokens; undefined: as many as fit. */
  readonly maxTokens?: number | undefined
  readonly minTokens?: number | undefined
  readonly sampling: SamplingOptions
  /** undefined: a different one each time. */
  readonly seed?: number | undefined
  /** Verifies several drafted tokens in one call; undefined: the engine's default. */
  readonly speculate?: boolean | undefined
  readonly stop: readonly string[]
  /** A grammar for the whole answer. */
  readonly grammar?: GrammarChoice | undefined
  /** Alternatives for each new token; undefined: no log-probabilities. */
  readonly logprobs?: number | undefined
  /** The same for prompt tokens. */
  readonly promptLogprobs?: number | undefined
  /** Prompts are returned as text. */
  readonly echoes?: boolean | undefined
  /** The user whose tiers answer, if the server learns. */
  readonly user?: string | undefined
  /** The response's id for feedback. */
  readonly responseId?: string | undefined
  /** Prompts of one tenant never read another tenant's cached prefixes. */
  readonly tenant?: string | undefined
}

/** A token as clients see it; bytes are null if the tokenizer does not give them. */
export interface ShownToken {
  readonly id: number
  readonly text: string
  readonly bytes: readonly number[] | null
}

/** A token and how likely it was. */
export interface ScoredToken extends ShownToken {
  readonly logprob: number
}

/** A token of an answer as clients see it, and the most likely tokens in its place, best first. */
export interface TokenReport extends ScoredToken {
  readonly top: readonly ScoredToken[]
}

/** Why an answer ended. */
export type AnswerEnd = 'eos' | 'stop' | 'length' | 'calls'

export interface AnswerUsage {
  readonly promptTokens: number
  readonly cachedTokens: number
  readonly completionTokens: number
  readonly reasoningTokens: number
}

/** Milliseconds of one answer. */
export interface AnswerTimes {
  readonly promptMs: number
  readonly decodeMs: number
}

export type AnswerEvent =
  /** Everything was checked and is queued. */
  | {
      readonly type: 'start'
      /** The expert that answers, as a mixture is written; undefined: the base. */
      readonly expert: string | undefined
      /** The base's name, or the name in the request. */
      readonly model: string
      /** Tokens of each prompt. */
      readonly promptTokens: readonly number[]
      /** Each prompt as text, if `echoes` asks for it. */
      readonly promptTexts: readonly string[]
      readonly seed: number
      /** If a router chose the expert. */
      readonly route?: RouteReport | undefined
    }
  /** Texts and tokens of a prompt, if promptLogprobs is set. */
  | {
      readonly type: 'prompt'
      readonly index: number
      readonly text: string
      /** The first token has no prediction. */
      readonly tokens: readonly (TokenReport | (ShownToken & { readonly logprob: null }))[]
    }
  /** The next part of one answer. */
  | {
      readonly type: 'delta'
      readonly index: number
      readonly text?: string | undefined
      readonly reasoning?: string | undefined
      readonly call?: CallDelta | undefined
      readonly tokens?: readonly TokenReport[] | undefined
      /** New tokens of this answer so far. */
      readonly completionTokens: number
    }
  | {
      readonly type: 'end'
      readonly index: number
      readonly reason: AnswerEnd
      readonly ids: readonly number[]
      readonly usage: AnswerUsage
      readonly times: AnswerTimes
    }

/** The beginning of a call has its id and name; what follows has arguments only. */
export interface CallDelta {
  /** Which call of the answer. */
  readonly call: number
  readonly id?: string | undefined
  readonly name?: string | undefined
  readonly arguments: string
}

export interface TokenizeRequest extends ExpertChoice {
  readonly text?: string | undefined
  readonly conversation?: Conversation | undefined
  readonly addSpecialTokens: boolean
}

/** One loaded expert. */
export interface ServedExpert {
  readonly name: string
  /** llama.cpp's number: counts up and is never reused. */
  readonly id: number
  /** Whether it was loaded from the server's registry, as `id@version`. */
  readonly isRegistered?: boolean | undefined
  /** The path that it was asked for by; undefined: the program passed it. */
  readonly path: string | undefined
  readonly version: number
  /** The hash of its content. */
  readonly key: string
  readonly kind: string
  /** The pooling that it was trained to embed with; undefined: it writes answers. */
  readonly pooling?: StatePooling | undefined
  /** The system message of its training. */
  readonly system: string | undefined
  readonly isPinned: boolean
  readonly hasOwnTemplate: boolean
  /** The scale for llama.cpp's requests that name no expert. */
  readonly scale: number
  /** Seconds since 1970. */
  readonly loadedAt: number
  /** Answers that it began since it was loaded, and their new tokens. */
  readonly answers: number
  readonly completionTokens: number
}

export interface LoadExpertRequest {
  /** undefined: the last part of the path, with a number if it is taken. */
  readonly name?: string | undefined
  readonly path: string
  /** Replaces a loaded expert of that name; otherwise a taken name is an error. */
  readonly replace?: boolean | undefined
  readonly scale?: number | undefined
  /** The root digest that its files must have. */
  readonly sha256?: string | undefined
}

/** A query of the registry; empty: the newest version of every expert. */
export interface RegisteredQuery {
  /** One expert, as a request names it: `coder@^1.2`. */
  readonly reference?: string | undefined
  /** Words that must be found in it. */
  readonly text?: string | undefined
  /** A question; the experts whose descriptions are closest to it come first. */
  readonly meaning?: string | undefined
  readonly tags?: readonly string[] | undefined
  readonly domain?: string | undefined
  readonly limit?: number | undefined
}

/** A version in the server's registry, in memory or not. */
export interface RegisteredEntry {
  readonly id: string
  readonly version: string
  /** The root digest of its files, which is its key in memory. */
  readonly sha256: string
  readonly kind: string
  readonly description: string | undefined
  readonly channels: readonly string[]
  readonly tags: readonly string[]
  readonly sizeBytes: number
  /** Seconds since 1970. */
  readonly addedAt: number
  /** Whether it is in this server's memory, as `id@version`. */
  readonly isResident: boolean
  /** The cosine to the question of a search by meaning. */
  readonly similarity: number | undefined
}

export interface Service extends UserService {
  describe(): Promise<ServedBase>
  /**
   * Answers a request. Throws RequestError or another GraftError before the first event if the
   * request cannot be answered; then nothing is queued. Leaving the loop, or the signal, ends its
   * sequences before the engine's next step.
   */
  generate(request: AnswerRequest, signal?: AbortSignal): AsyncGenerator<AnswerEvent, void>
  /** The last hidden states of each input, pooled and scaled to length 1. */
  embed(request: EmbedRequest, signal?: AbortSignal): Promise<EmbeddingResult>
  tokenize(
    request: TokenizeRequest,
  ): Promise<{ readonly ids: readonly number[]; readonly tokens: readonly string[] }>
  detokenize(request: ExpertChoice & { readonly ids: readonly number[] }): Promise<string>
  /** A conversation as a prompt. */
  applyTemplate(request: ExpertChoice & { readonly conversation: Conversation }): Promise<string>
  /** Experts in memory. */
  listExperts(): Promise<readonly ServedExpert[]>
  /** Experts of the registry; empty without one. Throws NotFoundError for an unknown reference. */
  findRegistered(query: RegisteredQuery): Promise<readonly RegisteredEntry[]>
  /** The router's decision; nothing is answered. Throws RequestError without a router. */
  explainRoute(
    conversation: Conversation,
    user?: string,
    signal?: AbortSignal,
  ): Promise<RouteExplanation>
  loadExpert(request: LoadExpertRequest): Promise<ServedExpert>
  /** Resolves when the last answer of the expert has ended. */
  unloadExpert(name: string): Promise<void>
  /** A pinned expert stays in its slot. */
  pinExpert(name: string, isPinned: boolean): Promise<ServedExpert>
  /** llama.cpp's scales, for requests that name no expert. Absent ones become 0. */
  setScales(scales: readonly AdapterScale[]): Promise<void>
  /** Running and waiting requests, and memory in use. */
  stats(): Promise<EngineStatistics>
}
