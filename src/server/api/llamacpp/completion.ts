// POST /completion: llama.cpp's own completion route, with its names and defaults.

import {
  createField,
  flag,
  type GivenOptions,
  integer,
  isRecord,
  number,
  withInfo,
} from '../../../base/schema.ts'
import { promptField, readPrompts } from '../openai/completion-fields.ts'
import { collectAnswers, type CollectedAnswer } from '../requests/collect-answers.ts'
import { createEventStream } from '../requests/event-stream.ts'
import { grammarFields, jsonSchemaField, readGrammar } from '../requests/read-grammar.ts'
import { refusedInCompletions } from '../requests/refused-fields.ts'
import {
  readMinTokens,
  readSampling,
  readSeed,
  readStop,
  samplingFields,
} from '../requests/sampling-fields.ts'
import { startAnswer } from '../requests/track-usage.ts'
import { RequestError } from '../../request-error.ts'
import { type BodyForm, defineRoute, type RouteCall } from '../../route.ts'
import type {
  AnswerEnd,
  AnswerEvent,
  AnswerRequest,
  ServedBase,
  TokenReport,
} from '../../service.ts'
import { modelField } from '../requests/model-field.ts'

type BiasPairs = readonly (readonly [number | string, number | false])[]

/** llama.cpp takes pairs; false bans a token. */
const biasField = createField<BiasPairs | Readonly<Record<string, number>>>(
  'a list of [token id, bias] or an object of them',
  { anyOf: [{ type: 'array', items: { type: 'array' } }, { type: 'object' }] },
  (value) =>
    samplingFields.logit_bias.is(value) ||
    (Array.isArray(value) &&
      value.every(
        (pair) =>
          Array.isArray(pair) &&
          pair.length === 2 &&
          Number.isInteger(pair[0]) &&
          (typeof pair[1] === 'number' || pair[1] === false),
      )),
)

const { stop, min_p, top_p, stream, user, lora, cache_salt, ignore_eos } = samplingFields
const { frequency_penalty, presence_penalty, speculate } = samplingFields

const fields = {
  model: modelField,
  prompt: promptField,
  n_predict: integer({ from: -1, about: 'new tokens at most; -1: what fits (default)' }),
  max_tokens: integer({ from: -1, about: 'the same' }),
  temperature: number({ from: 0, about: 'default 0.8' }),
  top_k: integer({ about: '0 or less: all (default 40)' }),
  top_p: withInfo(top_p, { about: 'default 0.95' }),
  min_p: withInfo(min_p, { about: 'default 0.05' }),
  repeat_penalty: number({ above: 0, to: 10, about: 'default 1' }),
  frequency_penalty,
  presence_penalty,
  seed: integer({ about: '-1: another one each time (default)' }),
  speculate,
  stop,
  stream,
  n_probs: integer({ from: 0, to: 20, about: 'log-probabilities of this many tokens a place' }),
  logit_bias: biasField,
  ignore_eos,
  grammar: grammarFields.grammar,
  json_schema: jsonSchemaField,
  lora,
  return_tokens: flag({ about: 'the ids of the new tokens' }),
  cache_salt,
  user,
}

type NativeBody = GivenOptions<typeof fields>

const form: BodyForm<typeof fields> = {
  fields,
  required: ['prompt'],
  refused: Object.fromEntries(
    Object.entries(refusedInCompletions).filter(([name]) => !Object.hasOwn(fields, name)),
  ),
}

function toRequest(body: NativeBody, base: ServedBase): AnswerRequest {
  const prompts = readPrompts(body.prompt!)
  if (prompts.length > 1)
    throw new RequestError('This route takes one prompt; /v1/completions takes several.', {
      param: 'prompt',
      code: 'invalid_value',
    })
  const limit = body.n_predict ?? body.max_tokens ?? -1
  const maxTokens = limit < 0 ? undefined : limit
  const { n_probs: count, seed = -1, repeat_penalty: repetition_penalty } = body
  const bias = readBias(body.logit_bias)
  const sampling = readSampling(
    {
      temperature: body.temperature ?? 0.8,
      top_k: body.top_k ?? 40,
      top_p: body.top_p ?? 0.95,
      min_p: body.min_p ?? 0.05,
      ...(body.frequency_penalty !== undefined && { frequency_penalty: body.frequency_penalty }),
      ...(body.presence_penalty !== undefined && { presence_penalty: body.presence_penalty }),
      ...(repetition_penalty !== undefined && { repetition_penalty }),
      ...(bias && { logit_bias: bias }),
    },
    base.vocabularySize,
  )
  return {
    model: body.model,
    scales: body.lora,
    prompts,
    copies: 1,
    maxTokens,
    minTokens: readMinTokens({ ignore_eos: body.ignore_eos ?? false }, maxTokens),
    sampling,
    seed: readSeed(seed < 0 ? undefined : seed),
    speculate: body.speculate,
    stop: readStop(body.stop),
    grammar: readGrammar(body),
    logprobs: count === undefined || count === 0 ? undefined : count,
    tenant: body.cache_salt,
  }
}

const readBias = (bias: NativeBody['logit_bias']): Readonly<Record<string, number>> | undefined =>
  bias === undefined || isRecord(bias)
    ? (bias as Readonly<Record<string, number>> | undefined)
    : Object.fromEntries(
        (bias as BiasPairs).map(([id, value]) => [String(id), value === false ? -100 : value]),
      )

export const completionRoute = defineRoute({
  method: 'POST',
  path: '/completion',
  scope: 'infer',
  tag: 'llama.cpp',
  summary: 'Continues one text.',
  body: form,
  async handle(call) {
    const { body, service } = call
    const request = toRequest(body, await service.describe())
    return body.stream ? streamNative(call, request) : answerNative(call, request)
  },
})

type NativeCall = RouteCall<NativeBody>

async function answerNative(call: NativeCall, request: AnswerRequest): Promise<Response> {
  const id = call.createId('cmpl-')
  const { events } = startAnswer(call, request, call.body.user, id)
  const { answers, model, seed } = await collectAnswers(events)
  const [answer] = answers
  return Response.json({
    id,
    content: answer!.text,
    ...describeEnd(answer!, model, seed, call.body),
    ...(answer!.tokens && { completion_probabilities: answer!.tokens.map(toProbability) }),
  })
}

async function streamNative(call: NativeCall, request: AnswerRequest): Promise<Response> {
  const id = call.createId('cmpl-')
  const { events, abort } = startAnswer(call, request, call.body.user, id)
  let model = ''
  let seed = 0
  const toRecords = (event: AnswerEvent): readonly object[] => {
    if (event.type === 'start') {
      model = event.model
      seed = event.seed
    }
    if (event.type === 'delta') {
      const { text = '', tokens } = event
      const probabilities = tokens && { completion_probabilities: tokens.map(toProbability) }
      return [{ index: 0, content: text, stop: false, ...probabilities }]
    }
    if (event.type !== 'end') return []
    return [{ id, index: 0, content: '', ...describeEnd(event, model, seed, call.body) }]
  }
  return createEventStream({ events, toRecords, toLastRecords: () => [], onGone: abort })
}

const stopTypes: Readonly<Record<AnswerEnd, string>> = {
  eos: 'eos',
  stop: 'word',
  length: 'limit',
  calls: 'eos',
}

function describeEnd(
  { ids, reason, usage, times }: Pick<CollectedAnswer, 'ids' | 'reason' | 'usage' | 'times'>,
  model: string,
  seed: number,
  { return_tokens: givesTokens = false }: NativeBody,
) {
  const { promptTokens, cachedTokens, completionTokens } = usage
  const read = promptTokens - cachedTokens
  const perSecond = (count: number, ms: number): number => (ms > 0 ? (count * 1000) / ms : 0)
  return {
    tokens: givesTokens ? ids : [],
    id_slot: 0,
    stop: true,
    model,
    tokens_predicted: completionTokens,
    tokens_evaluated: promptTokens,
    tokens_cached: promptTokens + completionTokens,
    truncated: false,
    stop_type: stopTypes[reason],
    generation_settings: { seed },
    timings: {
      cache_n: cachedTokens,
      prompt_n: read,
      prompt_ms: times.promptMs,
      prompt_per_second: perSecond(read, times.promptMs),
      predicted_n: completionTokens,
      predicted_ms: times.decodeMs,
      predicted_per_second: perSecond(completionTokens, times.decodeMs),
    },
  }
}

const toProbability = ({ id, text, bytes, logprob, top }: TokenReport) => ({
  id,
  token: text,
  bytes,
  logprob,
  top_logprobs: top.map((one) => ({
    id: one.id,
    token: one.text,
    bytes: one.bytes,
    logprob: one.logprob,
  })),
})
