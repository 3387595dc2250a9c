// Fields that the requests of several APIs share: sampling, and where answers end. The ranges are
// OpenAI's; fields beyond OpenAI's have vLLM's names.

import {
  createField,
  describeValue,
  flag,
  type GivenOptions,
  integer,
  isRecord,
  number,
  object,
  string,
  withInfo,
} from '../../../base/schema.ts'
import type { SamplingOptions } from '../../../runtime/decode/sampling-options.ts'
import { RequestError } from '../../request-error.ts'
import type { AdapterScale } from '../../service.ts'

const isText = (value: unknown): boolean => typeof value === 'string' && value !== ''
const MOST_STOPS = 64

/** A string, or a list of strings, none of them empty. */
const stopField = createField<string | readonly string[]>(
  `a string that is not empty, or a list of at most ${MOST_STOPS}`,
  {
    anyOf: [
      { type: 'string', minLength: 1 },
      { type: 'array', items: { type: 'string', minLength: 1 }, maxItems: MOST_STOPS },
    ],
  },
  (value) =>
    isText(value) || (Array.isArray(value) && value.length <= MOST_STOPS && value.every(isText)),
)

const biasField = createField<Readonly<Record<string, number>>>(
  'an object of token ids and numbers from -100 to 100',
  {
    type: 'object',
    propertyNames: { pattern: '^[0-9]+$' },
    additionalProperties: { type: 'number', minimum: -100, maximum: 100 },
  },
  (value) =>
    isRecord(value) &&
    Object.entries(value).every(
      ([id, bias]) => /^\d+$/.test(id) && typeof bias === 'number' && Math.abs(bias) <= 100,
    ),
)

/** 64 bits: beyond 2⁵³ JSON's numbers are rounded, and two seeds may become one. */
const seedField = createField<number>(
  'an integer of 64 bits',
  { type: 'integer', minimum: -(2 ** 63), maximum: 2 ** 63 },
  (value) => typeof value === 'number' && Number.isInteger(value) && Math.abs(value) <= 2 ** 63,
)

/** Larger values overflow activations, and every answer would fail. */
const MOST_SCALE = 1000

const scaleFields = {
  id: integer({ from: 0 }),
  scale: number({ from: -MOST_SCALE, to: MOST_SCALE }),
}
const scaleShape = object(scaleFields)

/** llama.cpp's `[{ id, scale }]`. */
export const scalesField = createField<readonly AdapterScale[]>(
  `a list of { id, scale }, scales from -${MOST_SCALE} to ${MOST_SCALE}`,
  { type: 'array', items: { ...scaleShape.schema, required: ['id', 'scale'] } },
  (value) =>
    Array.isArray(value) &&
    value.every((one) => scaleShape.is(one) && 'id' in one && 'scale' in one),
)

export const samplingFields = {
  temperature: number({ from: 0, to: 2, about: '0: always the most likely token (default 1)' }),
  top_p: number({ from: 0, to: 1, about: 'the most likely tokens that together reach p' }),
  top_k: integer({ from: -1, about: 'the k most likely tokens; 0 and -1: all' }),
  min_p: number({ from: 0, to: 1, about: 'tokens at least this fraction as likely as the best' }),
  frequency_penalty: number({ from: -2, to: 2 }),
  presence_penalty: number({ from: -2, to: 2 }),
  repetition_penalty: number({ above: 0, to: 10 }),
  logit_bias: withInfo(biasField, { about: 'added to the logits of tokens, by id' }),
  seed: withInfo(seedField, { about: 'the same seed gives the same answer' }),
  stop: withInfo(stopField, { about: 'the answer ends before any of these texts' }),
  min_tokens: integer({ from: 0, about: 'no end of text before this many tokens' }),
  ignore_eos: flag({ about: 'no end of text before the limit of tokens' }),
  speculate: flag({ about: "tries several tokens in one call; default: the server's setting" }),
  n: integer({ from: 1, to: 128, about: 'answers to each prompt' }),
  stream: flag({ about: 'server-sent events' }),
  user: string({ filled: true, about: 'who asks: for usage and for what is learned' }),
  cache_salt: string({ filled: true, about: 'only requests of this salt share cached prefixes' }),
  lora: withInfo(scalesField, { about: 'adapters by id and scale; absent ones are 0' }),
}

type SamplingBody = GivenOptions<typeof samplingFields>

/** In the engine's form. Throws RequestError for a bias of an unknown token. */
export function readSampling(body: SamplingBody, vocabularySize: number): SamplingOptions {
  const unknown = Object.keys(body.logit_bias ?? {}).find((id) => Number(id) >= vocabularySize)
  if (unknown !== undefined)
    throw new RequestError(
      `logit_bias: the token id ${describeValue(unknown.slice(0, 20))} is not in the vocabulary of ${vocabularySize} tokens.`,
      { param: `logit_bias.${unknown.slice(0, 20)}`, code: 'invalid_value' },
    )
  return {
    temperature: body.temperature ?? 1,
    // 0 leaves the most likely token alone
    topP: body.top_p === undefined ? 1 : Math.max(body.top_p, Number.EPSILON),
    topK: Math.max(0, body.top_k ?? 0),
    minP: body.min_p ?? 0,
    frequencyPenalty: body.frequency_penalty ?? 0,
    presencePenalty: body.presence_penalty ?? 0,
    repetitionPenalty: body.repetition_penalty ?? 1,
    ...(body.logit_bias && { logitBias: body.logit_bias }),
  }
}

/** A seed of 64 bits as one that the engine takes exactly. */
export const readSeed = (seed: number | undefined): number | undefined =>
  seed === undefined || Number.isSafeInteger(seed) ? seed : Number(BigInt.asIntN(53, BigInt(seed)))

export const readStop = (stop: string | readonly string[] | undefined): readonly string[] =>
  stop === undefined ? [] : typeof stop === 'string' ? [stop] : stop

/** Throws RequestError if the minimum of tokens is above the maximum. */
export function readMinTokens(body: SamplingBody, maxTokens: number | undefined): number {
  const { min_tokens: least = 0, ignore_eos: ignoresEnd = false } = body
  if (least > (maxTokens ?? Infinity))
    throw new RequestError(`min_tokens is ${least}, but at most ${maxTokens} may be written.`, {
      param: 'min_tokens',
      code: 'invalid_value',
    })
  return ignoresEnd ? (maxTokens ?? Number.MAX_SAFE_INTEGER) : least
}

export const streamOptionsField = object({
  include_usage: flag({ about: 'a last chunk with the usage' }),
  continuous_usage_stats: flag({ about: 'the usage so far in every chunk' }),
})

/** Throws RequestError for stream options of an answer that is not streamed. */
export function checkStreamOptions(body: {
  readonly stream?: boolean
  readonly stream_options?: unknown
}): void {
  if (body.stream_options !== undefined && body.stream !== true)
    throw new RequestError('stream_options needs a streamed answer: set stream to true.', {
      param: 'stream_options',
      code: 'invalid_value',
    })
}
