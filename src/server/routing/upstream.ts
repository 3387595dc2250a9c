// An OpenAI-compatible server that answers when a router is not sure: its stream as the events of
// an answer. Independent of routers.

import { isRecord } from '../../base/schema.ts'
import { readRecords, shownCharacters, UpstreamError } from '../vllm/read-records.ts'
import type { AnswerEnd, AnswerEvent, AnswerRequest, AnswerUsage, CallDelta } from '../service.ts'

export interface Upstream {
  /** As clients call a base URL: 'https://api.example.com/v1'. */
  readonly url: string
  /** The model that is asked there. */
  readonly model: string
  readonly key?: string | undefined
}

function createBody({ model }: Upstream, request: AnswerRequest): Record<string, unknown> {
  const { conversation, prompts, maxTokens, sampling, stop, copies, seed } = request
  const { temperature, topP, frequencyPenalty, presencePenalty } = sampling
  const plain = {
    model,
    max_tokens: maxTokens,
    temperature,
    top_p: topP,
    frequency_penalty: frequencyPenalty,
    presence_penalty: presencePenalty,
    seed,
    n: copies === 1 ? undefined : copies,
    stop: stop.length > 0 ? stop : undefined,
    stream: true,
    stream_options: { include_usage: true },
  }
  const asked = conversation
    ? {
        messages: conversation.messages,
        tools: conversation.tools,
        tool_choice: conversation.toolChoice,
      }
    : { prompt: prompts?.[0] }
  return Object.assign(plain, asked)
}

/** Throws UpstreamError; before the first event if there is no answer at all. */
export async function* streamUpstream(
  upstream: Upstream,
  request: AnswerRequest,
  signal: AbortSignal | undefined,
): AsyncGenerator<AnswerEvent, void> {
  const path = request.conversation ? 'chat/completions' : 'completions'
  const response = await fetch(`${upstream.url.replace(/\/+$/, '')}/${path}`, {
    method: 'POST',
    headers: {
      'content-type': 'application/json',
      ...(upstream.key !== undefined && { authorization: `Bearer ${upstream.key}` }),
    },
    body: JSON.stringify(createBody(upstream, request)),
    ...(signal && { signal }),
  })
  if (!response.ok) {
    const text = (await response.text()).slice(0, shownCharacters)
    throw new UpstreamError(`status ${response.status}${text === '' ? '' : `, ${text}`}`)
  }
  yield* readAnswers(response, request)
}

interface AnswerState {
  tokens: number
  reason: AnswerEnd
}

const endReasons: Readonly<Record<string, AnswerEnd>> = {
  stop: 'eos',
  length: 'length',
  tool_calls: 'calls',
}

async function* readAnswers(
  response: Response,
  { copies }: AnswerRequest,
): AsyncGenerator<AnswerEvent, void> {
  const states = Array.from({ length: copies }, (): AnswerState => ({ tokens: 0, reason: 'eos' }))
  let usage: Partial<Record<string, number>> = {}
  let isBegun = false
  for await (const record of readRecords(response)) {
    if (!isBegun) yield createStart(record)
    isBegun = true
    if (isRecord(record['usage'])) usage = record['usage'] as typeof usage
    for (const choice of Array.isArray(record['choices']) ? record['choices'] : [])
      if (isRecord(choice)) yield* convertChoice(choice, states)
  }
  if (!isBegun) throw new UpstreamError('the stream was empty')
  for (const [index, state] of states.entries()) yield createEnd(index, state, usage, copies)
}

const createStart = (record: Readonly<Record<string, unknown>>): AnswerEvent => ({
  type: 'start',
  expert: undefined,
  model: typeof record['model'] === 'string' ? record['model'] : 'upstream',
  promptTokens: [0],
  promptTexts: [],
  seed: 0,
})

function createEnd(
  index: number,
  { tokens, reason }: AnswerState,
  { prompt_tokens: promptTokens = 0, completion_tokens: all }: Partial<Record<string, number>>,
  copies: number,
): AnswerEvent {
  const usage: AnswerUsage = {
    promptTokens,
    cachedTokens: 0,
    completionTokens: copies === 1 ? (all ?? tokens) : tokens,
    reasoningTokens: 0,
  }
  return { type: 'end', index, reason, ids: [], usage, times: { promptMs: 0, decodeMs: 0 } }
}

function* convertChoice(
  choice: Readonly<Record<string, unknown>>,
  states: readonly AnswerState[],
): Generator<AnswerEvent, void> {
  const index = typeof choice['index'] === 'number' ? choice['index'] : 0
  const state = states[index]
  if (!state) return
  const reason = choice['finish_reason']
  if (typeof reason === 'string') state.reason = endReasons[reason] ?? 'eos'
  const delta = isRecord(choice['delta']) ? choice['delta'] : {}
  const text = typeof choice['text'] === 'string' ? choice['text'] : delta['content']
  const reasoning = delta['reasoning_content']
  if (typeof text === 'string' && text !== '') {
    state.tokens++
    yield { type: 'delta', index, text, completionTokens: state.tokens }
  }
  if (typeof reasoning === 'string' && reasoning !== '') {
    state.tokens++
    yield { type: 'delta', index, reasoning, completionTokens: state.tokens }
  }
  for (const call of Array.isArray(delta['tool_calls']) ? delta['tool_calls'] : []) {
    const converted = convertCall(call)
    if (converted) yield { type: 'delta', index, call: converted, completionTokens: state.tokens }
  }
}

function convertCall(given: unknown): CallDelta | undefined {
  if (!isRecord(given)) return undefined
  const { index, id, function: called } = given
  const { name, arguments: text } = isRecord(called) ? called : {}
  return {
    call: typeof index === 'number' ? index : 0,
    ...(typeof id === 'string' && { id }),
    ...(typeof name === 'string' && { name }),
    arguments: typeof text === 'string' ? text : '',
  }
}
