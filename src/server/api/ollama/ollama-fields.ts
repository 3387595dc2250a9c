// What Ollama's routes share: options for the engine, formats, errors, times.

import {
  createField,
  flag,
  integer,
  isRecord,
  string,
  type GivenOptions,
} from '../../../base/schema.ts'
import type { GrammarChoice, SchemaValue } from '../../../formats/grammar/grammar-choice.ts'
import { RequestError } from '../../request-error.ts'
import type { ErrorDescriber, RefusedField } from '../../route.ts'
import type {
  AnswerEnd,
  AnswerRequest,
  AnswerTimes,
  AnswerUsage,
  ServedBase,
  Service,
} from '../../service.ts'
import { checkBody } from '../../read-body.ts'
import { readSampling, readSeed, readStop, samplingFields } from '../requests/sampling-fields.ts'
import { createValueError } from '../requests/tool-field.ts'

type GivenRecord = Readonly<Record<string, unknown>>

/** `{ "error": "…" }` */
export const describeError: ErrorDescriber = ({ error }) => ({ error: error.message })

const optionFields = {
  temperature: samplingFields.temperature,
  top_p: samplingFields.top_p,
  top_k: samplingFields.top_k,
  min_p: samplingFields.min_p,
  frequency_penalty: samplingFields.frequency_penalty,
  presence_penalty: samplingFields.presence_penalty,
  repeat_penalty: samplingFields.repetition_penalty,
  seed: samplingFields.seed,
  stop: samplingFields.stop,
  num_predict: integer({ from: -2, about: 'new tokens at most; below 0: what fits' }),
  num_ctx: integer({ from: 1, about: "at most the model's context" }),
}

const startTime = 'it is chosen when the server starts'
const noSampler = 'there is no such sampler here'

const refusedOptions: Readonly<Record<string, RefusedField>> = {
  num_keep: { reason: 'the context is not shifted', neutral: [0] },
  num_batch: { reason: startTime },
  num_thread: { reason: startTime, neutral: [0] },
  num_gpu: { reason: startTime, neutral: [-1, 0] },
  main_gpu: { reason: startTime, neutral: [0] },
  low_vram: { reason: startTime, neutral: [false] },
  use_mmap: { reason: startTime },
  use_mlock: { reason: startTime, neutral: [false] },
  numa: { reason: startTime, neutral: [false] },
  f16_kv: { reason: startTime },
  vocab_only: { reason: startTime, neutral: [false] },
  repeat_last_n: { reason: 'the penalty counts all tokens before', neutral: [-1] },
  typical_p: { reason: noSampler, neutral: [1] },
  tfs_z: { reason: noSampler, neutral: [1] },
  mirostat: { reason: noSampler, neutral: [0] },
  mirostat_tau: { reason: noSampler, neutral: [5] },
  mirostat_eta: { reason: noSampler, neutral: [0.1] },
  penalize_newline: { reason: 'penalties count all tokens' },
}

const keepField = createField<string | number>(
  'a duration such as "5m", or seconds',
  { anyOf: [{ type: 'string' }, { type: 'number' }] },
  (value) => typeof value === 'string' || typeof value === 'number',
  { about: 'accepted: the model stays in memory anyway' },
)

export const answerFields = {
  model: string({ about: 'the base, an expert or a mixture; :latest is left off' }),
  format: createField<string | GivenRecord>(
    '"json" or a JSON Schema',
    { anyOf: [{ enum: ['', 'json'] }, { type: 'object' }] },
    (value) => value === 'json' || value === '' || isRecord(value),
    { about: '"json" or a JSON Schema of the answer' },
  ),
  options: createField<GivenRecord>('an object', { type: 'object' }, isRecord, {
    about: 'temperature, top_p, top_k, min_p, penalties, seed, stop, num_predict, num_ctx',
  }),
  stream: flag({ about: 'lines of JSON as the answer comes; default true' }),
  think: createField<boolean | string>(
    'true, false, or an effort',
    { anyOf: [{ type: 'boolean' }, { type: 'string' }] },
    (value) => typeof value === 'boolean' || typeof value === 'string',
    { about: 'where the chat template has a switch for reasoning' },
  ),
  keep_alive: keepField,
}

export const refusedAnswerFields: Readonly<Record<string, RefusedField>> = {
  logprobs: { reason: 'use /v1/chat/completions for log-probabilities', neutral: [false] },
  top_logprobs: { reason: 'use /v1/chat/completions for log-probabilities', neutral: [0] },
  truncate: { reason: 'prompts are not cut; shorten it', neutral: [false] },
  shift: { reason: 'the context is not shifted', neutral: [false] },
}

type AnswerBody = GivenOptions<typeof answerFields>

/** The name without Ollama's tag `:latest`; undefined: the base. */
export const readModel = (model: string | undefined): string | undefined =>
  model?.trim().replace(/:latest$/, '') || undefined

/** The options and the format of a request. Throws RequestError. */
export function readAnswerOptions(
  body: AnswerBody,
  base: ServedBase,
): Omit<AnswerRequest, 'conversation' | 'prompts'> {
  const options = checkOptionNames(body.options ?? {})
  const { num_predict: most, num_ctx: context, repeat_penalty: repetition, ...rest } = options
  if (context !== undefined && context > base.contextTokens)
    throw createValueError(
      'options.num_ctx',
      `got ${context}, expected at most ${base.contextTokens}, which is the context of ${base.name}`,
    )
  return {
    model: readModel(body.model),
    copies: 1,
    maxTokens: most === undefined || most < 0 ? undefined : most,
    sampling: readSampling(
      { ...rest, ...(repetition !== undefined && { repetition_penalty: repetition }) },
      base.vocabularySize,
    ),
    seed: readSeed(rest.seed),
    stop: readStop(rest.stop),
    grammar: readFormat(body.format),
  }
}

function checkOptionNames(options: GivenRecord): GivenOptions<typeof optionFields> {
  try {
    return checkBody(options, { fields: optionFields, required: [], refused: refusedOptions })
  } catch (error) {
    if (!(error instanceof RequestError)) throw error
    const { param, code } = error
    throw new RequestError(`options: ${error.message}`, { param: `options.${param}`, code })
  }
}

function readFormat(format: string | GivenRecord | undefined): GrammarChoice | undefined {
  if (format === undefined || format === '') return undefined
  return format === 'json'
    ? { type: 'json' }
    : { type: 'json-schema', schema: format as SchemaValue }
}

/**
 * Variables of the chat template for `think`; a template without a switch does not reason if it is
 * turned off.
 */
export function readThinking(
  think: boolean | string | undefined,
  { chatTemplate }: ServedBase,
): GivenRecord | undefined {
  if (think === undefined) return undefined
  if (think === false && !chatTemplate.includes('enable_thinking')) return undefined
  return typeof think === 'boolean'
    ? { enable_thinking: think }
    : { enable_thinking: true, reasoning_effort: think }
}

const doneReasons: Readonly<Record<AnswerEnd, string>> = {
  eos: 'stop',
  stop: 'stop',
  length: 'length',
  calls: 'stop',
}

const toNanoseconds = (ms: number): number => Math.round(ms * 1e6)

/** The fields of a last line. */
export const toEnd = (
  reason: AnswerEnd,
  usage: AnswerUsage,
  times: AnswerTimes,
): Record<string, unknown> => ({
  done: true,
  done_reason: doneReasons[reason],
  total_duration: toNanoseconds(times.promptMs + times.decodeMs),
  load_duration: 0,
  prompt_eval_count: usage.promptTokens,
  prompt_eval_duration: toNanoseconds(times.promptMs),
  eval_count: usage.completionTokens,
  eval_duration: toNanoseconds(times.decodeMs),
})

/** A request to a router: it covers every expert, and no expert reads tokens before the choice. */
const routed = 'auto'

/**
 * The answer to a request with an empty prompt, which asks to load the model: what is served is
 * loaded. Throws NotFoundError for a model that is not served.
 */
export async function describeLoaded(
  service: Pick<Service, 'tokenize'>,
  asked: string,
  content: object,
): Promise<Response> {
  const model = readModel(asked)
  if (model !== routed) await service.tokenize({ model, text: '', addSpecialTokens: false })
  return Response.json({
    model: asked,
    created_at: new Date().toISOString(),
    ...content,
    done: true,
    done_reason: 'load',
  })
}
