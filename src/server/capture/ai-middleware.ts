// A middleware for the AI SDK that records a model's calls as rows for training:
// wrapLanguageModel({ model, middleware: createCaptureMiddleware({ write, rules }) }).

import { toChatMessages } from '../api/ai-sdk/read-prompt.ts'
import type { PromptMessage } from '../api/ai-sdk/specification.ts'
import { isRecord } from '../../base/schema.ts'
import { toCapturedRows } from './captured-row.ts'
import type { CaptureOptions } from './create-capture.ts'

export type CaptureMiddlewareOptions = Pick<
  CaptureOptions,
  'write' | 'rules' | 'now' | 'onCall'
> & {
  /**
   * Whether this call may be recorded. Default: all, because the program is responsible for
   * consent.
   */
  readonly consents?: ((call: MiddlewareCall) => boolean) | undefined
}

export interface MiddlewareCall {
  readonly prompt: readonly PromptMessage[]
  readonly tools?: readonly unknown[] | undefined
  readonly providerOptions?: unknown
}

interface WrapOptions<Result> {
  readonly params: MiddlewareCall
  readonly model: { readonly modelId: string }
  readonly doGenerate: () => PromiseLike<Result>
}

interface WrapStreamOptions<Result> {
  readonly params: MiddlewareCall
  readonly model: { readonly modelId: string }
  readonly doStream: () => PromiseLike<Result>
}

interface GeneratedParts {
  readonly content: readonly { readonly type: string }[]
  readonly finishReason: unknown
}

/** The AI SDK's middleware of specification "v4". */
export interface CaptureMiddleware {
  readonly specificationVersion: 'v4'
  wrapGenerate<Result extends GeneratedParts>(options: WrapOptions<Result>): Promise<Result>
  wrapStream<Part, Result extends { readonly stream: ReadableStream<Part> }>(
    options: WrapStreamOptions<Result>,
  ): Promise<Result>
}

interface CollectedAnswer {
  text: string
  reasoning: string
  calls: { id: unknown; name: unknown; input: unknown }[]
  finish: unknown
}

const createAnswer = (): CollectedAnswer => ({
  text: '',
  reasoning: '',
  calls: [],
  finish: undefined,
})

/** Adds a part of a stream or of a whole answer. */
function addPart(answer: CollectedAnswer, part: unknown): void {
  if (!isRecord(part)) return
  const { type } = part
  const text = part['delta'] ?? part['text']
  if (type === 'text' || type === 'text-delta') answer.text += String(text)
  if (type === 'reasoning' || type === 'reasoning-delta') answer.reasoning += String(text)
  if (type === 'tool-call')
    answer.calls.push({ id: part['toolCallId'], name: part['toolName'], input: part['input'] })
  if (type === 'finish') answer.finish = part['finishReason']
}

/** `finishReason` is a string, or since "v4" an object with one. */
function toFinishReason(finish: unknown): string {
  const word = isRecord(finish) ? finish['unified'] : finish
  return word === 'tool-calls' ? 'tool_calls' : String(word)
}

function toResponse(answer: CollectedAnswer, model: string): Readonly<Record<string, unknown>> {
  const { text, reasoning, calls, finish } = answer
  const message = {
    content: text === '' && calls.length > 0 ? null : text,
    ...(reasoning !== '' && { reasoning_content: reasoning }),
    ...(calls.length > 0 && {
      tool_calls: calls.map(({ id, name, input }) => ({
        id,
        type: 'function',
        function: { name, arguments: typeof input === 'string' ? input : JSON.stringify(input) },
      })),
    }),
  }
  return { model, choices: [{ message, finish_reason: toFinishReason(finish) }] }
}

const toTools = (tools: readonly unknown[] | undefined): unknown[] | undefined =>
  tools?.map((tool) =>
    isRecord(tool)
      ? {
          type: 'function',
          function: {
            name: tool['name'],
            description: tool['description'],
            parameters: tool['inputSchema'],
          },
        }
      : tool,
  )

export function createCaptureMiddleware(options: CaptureMiddlewareOptions): CaptureMiddleware {
  const { write, rules, onCall, consents = () => true, now = () => new Date() } = options
  const keep = async (
    params: MiddlewareCall,
    answer: CollectedAnswer,
    model: string,
  ): Promise<void> => {
    try {
      const tools = toTools(params.tools)
      const request = { messages: toChatMessages(params.prompt), ...(tools && { tools }) }
      const call = { request, response: toResponse(answer, model), at: now().toISOString() }
      const rows = toCapturedRows({ ...call, consent: 'assumed' }, rules)
      if (typeof rows === 'string') return onCall?.({ type: 'left-out', reason: rows })
      for (const row of rows) await write(row)
      onCall?.({ type: 'kept', rows: rows.length })
    } catch (error) {
      onCall?.({ type: 'failed', error })
    }
  }
  return {
    specificationVersion: 'v4',
    async wrapGenerate({ doGenerate, params, model }) {
      const result = await doGenerate()
      if (!consents(params)) return result
      const answer = createAnswer()
      for (const part of result.content) addPart(answer, part)
      answer.finish = result.finishReason
      await keep(params, answer, model.modelId)
      return result
    },
    async wrapStream({ doStream, params, model }) {
      const result = await doStream()
      if (!consents(params)) return result
      const answer = createAnswer()
      const pass = new TransformStream<unknown, unknown>({
        transform(part, controller) {
          addPart(answer, part)
          controller.enqueue(part)
        },
        flush: () => keep(params, answer, model.modelId),
      })
      return {
        ...result,
        stream: (result.stream as ReadableStream<unknown>).pipeThrough(
          pass,
        ) as typeof result.stream,
      }
    },
  }
}
