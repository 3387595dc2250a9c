// A provider for the AI SDK (npm's `ai`) over a service of this process: no socket, and the checks,
// experts and errors of the server's routes.

import { checkOptions, string, unchecked } from '../../../base/schema.ts'
import { RequestError } from '../../request-error.ts'
import type { AnswerEvent, Service } from '../../service.ts'
import { collectAnswers } from '../requests/collect-answers.ts'
import { readCall } from './read-call.ts'
import type {
  AiEmbeddingModel,
  AiLanguageModel,
  AiProvider,
  CallPart,
  CallResponse,
  CallWarning,
  EmbeddingCall,
  LanguageCall,
} from './specification.ts'
import { PartWriter, toCallEnd, toCallUsage, toContent } from './write-parts.ts'

export interface AiProviderOptions {
  /** The result of `createService`, or of a started server. */
  readonly service: Service
  /** The provider's name in the SDK's errors and spans. Default: graft. */
  readonly name?: string | undefined
}

const fields = { service: unchecked<Service>('a service'), name: string({ filled: true }) }

/** Values in one call of an embedding model: as many as the route takes. */
const MOST_VALUES = 2048

/**
 * A provider for `generateText`, `streamText`, `embed` and all else of npm's `ai`, version 7:
 *
 *     const graft = createAiProvider({ service })
 *     const { text } = await generateText({ model: graft('coder'), prompt: 'Hello' })
 *
 * A model's name is what the server takes as `model`. Fields of /v1/chat/completions beyond the
 * SDK's are given as `providerOptions: { graft: { min_p: 0.1, user: 'ada' } }`. Calls throw
 * RequestError for what the route refuses.
 */
export function createAiProvider(options: AiProviderOptions): AiProvider {
  checkOptions('Options of createAiProvider', options, fields)
  const { service, name = 'graft' } = options
  const languageModel = (modelId: string): AiLanguageModel =>
    createLanguageModel(service, name, modelId)
  const provider = {
    specificationVersion: 'v4' as const,
    languageModel,
    embeddingModel: (modelId: string) => createEmbeddingModel(service, name, modelId),
    imageModel: (modelId: string): never => {
      throw new RequestError(`${name} has no image model ${JSON.stringify(modelId)}.`, {
        status: 404,
        code: 'model_not_found',
      })
    },
  }
  return Object.assign((modelId: string) => languageModel(modelId), provider)
}

function createLanguageModel(service: Service, provider: string, modelId: string): AiLanguageModel {
  const start = async (call: LanguageCall) => {
    const { request, user, warnings } = readCall(modelId, call, await service.describe())
    const id = `chatcmpl-${crypto.randomUUID().replaceAll('-', '')}`
    const asked = Object.assign({}, request, { user, responseId: id })
    const response: CallResponse = { id, modelId, timestamp: new Date() }
    return { events: service.generate(asked, call.abortSignal), response, warnings }
  }
  return {
    specificationVersion: 'v4',
    provider,
    modelId,
    supportedUrls: {},
    async doGenerate(call) {
      const { events, response, warnings } = await start(call)
      const { answers, model, expert = null, seed } = await collectAnswers(events)
      const [answer] = answers
      return {
        content: toContent(answer!),
        finishReason: toCallEnd(answer!.reason),
        usage: toCallUsage(answer!.usage),
        providerMetadata: { graft: { expert, seed, responseId: response.id } },
        response: Object.assign({}, response, { modelId: model }),
        warnings,
      }
    },
    async doStream(call) {
      const { events, response, warnings } = await start(call)
      const first = await events.next() // a request that cannot be answered throws here
      const isRaw = call.includeRawChunks ?? false
      const parts = writeParts({ events, first, writer: new PartWriter(response), isRaw })
      return { stream: createPartStream(warnings, parts, events) }
    },
  }
}

async function* writeParts({
  events,
  first,
  writer,
  isRaw,
}: {
  readonly events: AsyncGenerator<AnswerEvent, void>
  readonly first: IteratorResult<AnswerEvent, void>
  readonly writer: PartWriter
  readonly isRaw: boolean
}): AsyncGenerator<CallPart, void> {
  for (let next = first; !next.done; next = await events.next()) {
    if (isRaw) yield { type: 'raw', rawValue: next.value }
    yield* writer.write(next.value)
  }
}

/** Parts in the order they are read; leaving the stream ends the answer. */
function createPartStream(
  warnings: CallWarning[],
  parts: AsyncGenerator<CallPart, void>,
  events: AsyncGenerator<AnswerEvent, void>,
): ReadableStream<CallPart> {
  return new ReadableStream<CallPart>({
    start: (controller) => controller.enqueue({ type: 'stream-start', warnings }),
    async pull(controller) {
      try {
        const { done, value } = await parts.next()
        if (done) controller.close()
        else controller.enqueue(value)
      } catch (error) {
        controller.enqueue({ type: 'error', error })
        controller.close()
      }
    },
    async cancel() {
      await events.return()
    },
  })
}

const createEmbeddingModel = (
  service: Service,
  provider: string,
  modelId: string,
): AiEmbeddingModel => ({
  specificationVersion: 'v4',
  provider,
  modelId,
  maxEmbeddingsPerCall: MOST_VALUES,
  supportsParallelCalls: true,
  async doEmbed({ values, dimensions, abortSignal }: EmbeddingCall) {
    if (dimensions !== undefined)
      throw new RequestError('dimensions: vectors cannot be shortened; leave it out.', {
        param: 'dimensions',
      })
    const asked = { model: modelId, inputs: values }
    const { vectors, promptTokens } = await service.embed(asked, abortSignal)
    return {
      embeddings: vectors.map((vector) => [...vector]),
      usage: { tokens: promptTokens },
      warnings: [],
    }
  },
})
