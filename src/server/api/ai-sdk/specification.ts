// The provider interface of the AI SDK (npm's `ai`, version 7), as far as Graft implements it:
// specification "v4", written out here so that the package is not needed.

/** A setting of the call that has no effect, or not the requested one. */
export interface CallWarning {
  readonly type: 'unsupported'
  readonly feature: string
  readonly details?: string
}

export interface PromptPart {
  readonly type: string
  readonly text?: unknown
  readonly mediaType?: string
  readonly data?: unknown
  readonly toolCallId?: string
  readonly toolName?: string
  readonly input?: unknown
  readonly output?: unknown
}

export interface PromptMessage {
  readonly role: 'system' | 'user' | 'assistant' | 'tool'
  readonly content: string | readonly PromptPart[]
}

export type ProviderSettings = Readonly<Record<string, Readonly<Record<string, unknown>>>>

export interface LanguageCall {
  readonly prompt: readonly PromptMessage[]
  readonly maxOutputTokens?: number | undefined
  readonly temperature?: number | undefined
  readonly stopSequences?: readonly string[] | undefined
  readonly topP?: number | undefined
  readonly topK?: number | undefined
  readonly presencePenalty?: number | undefined
  readonly frequencyPenalty?: number | undefined
  readonly responseFormat?: { readonly type: string; readonly schema?: unknown } | undefined
  readonly seed?: number | undefined
  readonly tools?: readonly CallTool[] | undefined
  readonly toolChoice?: { readonly type: string; readonly toolName?: string } | undefined
  readonly reasoning?: string | undefined
  readonly includeRawChunks?: boolean | undefined
  readonly abortSignal?: AbortSignal | undefined
  /** Graft's options: fields of /v1/chat/completions under the key `graft`. */
  readonly providerOptions?: ProviderSettings | undefined
}

export interface CallTool {
  readonly type: string
  readonly name: string
  readonly id?: string
  readonly description?: string
  readonly inputSchema?: unknown
}

export interface EmbeddingCall {
  readonly values: readonly string[]
  readonly dimensions?: number | undefined
  readonly abortSignal?: AbortSignal | undefined
  readonly providerOptions?: ProviderSettings | undefined
}

export interface CallEnd {
  unified: 'stop' | 'length' | 'tool-calls' | 'error'
  raw: string | undefined
}

export interface CallUsage {
  inputTokens: {
    total: number
    noCache: number
    cacheRead: number
    cacheWrite: undefined
  }
  outputTokens: { total: number; text: number; reasoning: number }
}

/** By provider; `responseId` is the answer's id for feedback. */
export interface CallMetadata {
  [provider: string]: { expert: string | null; seed: number; responseId: string }
}

export type CallContent =
  | { type: 'text' | 'reasoning'; text: string }
  | { type: 'tool-call'; toolCallId: string; toolName: string; input: string }

export interface CallResponse {
  id: string
  modelId: string
  timestamp: Date
}

export interface AiCallResult {
  content: CallContent[]
  finishReason: CallEnd
  usage: CallUsage
  providerMetadata: CallMetadata
  response: CallResponse
  warnings: CallWarning[]
}

export type CallPart =
  | { type: 'stream-start'; warnings: CallWarning[] }
  | ({ type: 'response-metadata' } & CallResponse)
  | { type: 'text-start' | 'text-end' | 'reasoning-start' | 'reasoning-end'; id: string }
  | { type: 'text-delta' | 'reasoning-delta' | 'tool-input-delta'; id: string; delta: string }
  | { type: 'tool-input-start'; id: string; toolName: string }
  | { type: 'tool-input-end'; id: string }
  | { type: 'tool-call'; toolCallId: string; toolName: string; input: string }
  | { type: 'raw'; rawValue: unknown }
  | { type: 'error'; error: unknown }
  | {
      type: 'finish'
      finishReason: CallEnd
      usage: CallUsage
      providerMetadata?: CallMetadata
    }

export interface AiLanguageModel {
  readonly specificationVersion: 'v4'
  readonly provider: string
  readonly modelId: string
  readonly supportedUrls: Record<string, never>
  doGenerate(call: LanguageCall): Promise<AiCallResult>
  doStream(call: LanguageCall): Promise<{ stream: ReadableStream<CallPart> }>
}

export interface AiEmbeddingModel {
  readonly specificationVersion: 'v4'
  readonly provider: string
  readonly modelId: string
  readonly maxEmbeddingsPerCall: number
  readonly supportsParallelCalls: boolean
  doEmbed(call: EmbeddingCall): Promise<{
    embeddings: number[][]
    usage: { tokens: number }
    warnings: CallWarning[]
  }>
}

/** A provider that `ai` takes: called with a name, it returns a language model. */
export interface AiProvider {
  (modelId: string): AiLanguageModel
  readonly specificationVersion: 'v4'
  /** The model's name as the server takes it: `coder`, `coder:0.7+poet:0.3`. */
  languageModel(modelId: string): AiLanguageModel
  embeddingModel(modelId: string): AiEmbeddingModel
  /** Throws, because there is no image model. */
  imageModel(modelId: string): never
}
