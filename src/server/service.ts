// What the server's routes need of a model, its engine and its experts, in plain messages: strings,
// numbers, plain objects, typed arrays, async generators and signals. So it may live in a worker,
// and HTTP stays quick while the model computes.

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
  /** Ids of prompts are below this. */
  readonly vocabularySize: number
  /** Seconds since 1970. */
  readonly openedAt: number
  /** Sequences that run at a time. */
  readonly maxRows: number
  readonly chatTemplate: string
  /** The kind of the router that answers for the model "auto", where there is one. */
  readonly router?: string | undefined
  /** The texts of special tokens by name: `bos_token`. */
  readonly specialTokens: Readonly<Record<string, string>>
}

/** A conversation and how it is written as a prompt. */
export interface Conversation {
  readonly messages: readonly ChatMessage[]
  /** Functions that the model may call, in OpenAI's form. */
  readonly tools?: readonly unknown[] | undefined
  /** OpenAI's `tool_choice`. */
  readonly toolChoice?: unknown
  /** At most one call. */
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
  /** New tokens at most; undefined: as many as fit. */
  readonly maxTokens?: number | undefined
  readonly minTokens?: number | undefined
  readonly sampling: SamplingOptions
  /** undefined: another one each time. */
  readonly seed?: number | undefined
  /** Tries several tokens in one call; undefined: as the engine does by default. */
  readonly speculate?: boolean | undefined
  readonly stop: readonly string[]
  /** What the whole answer must be. */
  readonly grammar?: GrammarChoice | undefined
  /** Alternatives beside each new token; undefined: no log-probabilities. */
  readonly logprobs?: number | undefined
  /** The same of prompt tokens. */
  readonly promptLogprobs?: number | undefined
  /** Prompts are given back as text. */
  readonly echoes?: boolean | undefined
  /** Whose tiers answer, where the server learns. */
  readonly user?: string | undefined
  /** What feedback will call the response. */
  readonly responseId?: string | undefined
  /** Prompts of one tenant never read what another's left in the cache. */
  readonly tenant?: string | undefined
}

/** A token as clients see it; bytes are null where the tokenizer does not say them. */
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
      /** The base's name, or the name the request gave. */
      readonly model: string
      /** Tokens of each prompt. */
      readonly promptTokens: readonly number[]
      /** Each prompt as text, where `echoes` asks for it. */
      readonly promptTexts: readonly string[]
      readonly seed: number
      /** Where a router chose who answers. */
      readonly route?: RouteReport | undefined
    }
  /** Texts and tokens of a prompt, where promptLogprobs is asked. */
  | {
      readonly type: 'prompt'
      readonly index: number
      readonly text: string
      /** The first token is predicted by nothing. */
      readonly tokens: readonly (TokenReport | (ShownToken & { readonly logprob: null }))[]
    }
  /** More of one answer. */
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

/** A call's beginning has its id and name, what follows has arguments only. */
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
  /** llama.cpp's number of it: counts up, and is never used again. */
  readonly id: number
  /** Whether it was loaded from the server's registry, as `id@version`. */
  readonly isRegistered?: boolean | undefined
  /** Where it was read from, as it was asked for; undefined: it was given by the program. */
  readonly path: string | undefined
  readonly version: number
  /** The hash of its content. */
  readonly key: string
  readonly kind: string
  /** How it was taught to embed; undefined: it writes answers. */
  readonly pooling?: StatePooling | undefined
  /** The system message that it was taught with. */
  readonly system: string | undefined
  readonly isPinned: boolean
  readonly hasOwnTemplate: boolean
  /** What llama.cpp's requests that name no expert are answered with. */
  readonly scale: number
  /** Seconds since 1970. */
  readonly loadedAt: number
  /** Answers that it began since it was loaded, and their new tokens. */
  readonly answers: number
  readonly completionTokens: number
}

export interface LoadExpertRequest {
  /** undefined: the last part of the path, with a number where it is taken. */
  readonly name?: string | undefined
  readonly path: string
  /** Takes the place of a loaded expert of that name; otherwise that is an error. */
  readonly replace?: boolean | undefined
  readonly scale?: number | undefined
  /** The root digest that its files must have. */
  readonly sha256?: string | undefined
}

/** What of a registry is asked for; nothing: the newest version of every expert. */
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
  /** The root digest of its files: the key that it has in memory. */
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
   * Answers a request. Throws before the first event: RequestError or another GraftError for what
   * cannot be answered; nothing is queued then. Leaving the loop, or the signal, ends its sequences
   * before the engine's next step.
   */
  generate(request: AnswerRequest, signal?: AbortSignal): AsyncGenerator<AnswerEvent, void>
  /** The last hidden states of each input, pooled and scaled to length 1. */
  embed(request: EmbedRequest, signal?: AbortSignal): Promise<EmbeddingResult>
  tokenize(
    request: TokenizeRequest,
  ): Promise<{ readonly ids: readonly number[]; readonly tokens: readonly string[] }>
  detokenize(request: ExpertChoice & { readonly ids: readonly number[] }): Promise<string>
  /** The prompt that a conversation becomes. */
  applyTemplate(request: ExpertChoice & { readonly conversation: Conversation }): Promise<string>
  /** Those in memory. */
  listExperts(): Promise<readonly ServedExpert[]>
  /**
   * Those of the registry; none where there is no registry. Throws NotFoundError for a reference.
   */
  findRegistered(query: RegisteredQuery): Promise<readonly RegisteredEntry[]>
  /** What the router would decide; nothing is answered. Throws RequestError without a router. */
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
  /** What runs and waits, and what memory is used. */
  stats(): Promise<EngineStatistics>
}
