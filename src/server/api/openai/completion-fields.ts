// The body of /v1/completions, and its translation to a request.

import { createField, flag, type GivenOptions, integer } from '../../../base/schema.ts'
import { RequestError } from '../../request-error.ts'
import { mergedAdaptersField, readModel } from '../requests/merged-adapters.ts'
import { modelField } from '../requests/model-field.ts'
import { grammarFields, readGrammar } from '../requests/read-grammar.ts'
import { refusedInCompletions } from '../requests/refused-fields.ts'
import {
  checkStreamOptions,
  readMinTokens,
  readSampling,
  readSeed,
  readStop,
  samplingFields,
  streamOptionsField,
} from '../requests/sampling-fields.ts'
import type { BodyForm } from '../../route.ts'
import type { AnswerRequest, PlainPrompt, ServedBase } from '../../service.ts'

/** Limit of prompts times answers of one request. */
const MOST_ANSWERS = 2048

const isIds = (value: unknown): value is readonly number[] =>
  Array.isArray(value) && value.length > 0 && value.every((one) => typeof one === 'number')
const isFilled = (value: unknown): boolean => typeof value === 'string' && value !== ''
const isPrompt = (value: unknown): boolean => isFilled(value) || isIds(value)

const idsSchema = { type: 'array', minItems: 1, items: { type: 'integer', minimum: 0 } }
const textSchema = { type: 'string', minLength: 1 }

/** A string, token ids, or a list of both. */
export const promptField = createField<PlainPrompt | readonly PlainPrompt[]>(
  'a string, token ids, or a list of these, none of them empty',
  {
    anyOf: [
      textSchema,
      idsSchema,
      {
        type: 'array',
        minItems: 1,
        maxItems: MOST_ANSWERS,
        items: { anyOf: [textSchema, idsSchema] },
      },
    ],
  },
  (value) =>
    isPrompt(value) ||
    (Array.isArray(value) &&
      value.length > 0 &&
      value.length <= MOST_ANSWERS &&
      value.every(isPrompt)),
)

export const readPrompts = (
  prompt: PlainPrompt | readonly PlainPrompt[],
): readonly PlainPrompt[] =>
  typeof prompt === 'string' || isIds(prompt) ? [prompt] : (prompt as readonly PlainPrompt[])

export const completionFields = {
  model: modelField,
  merged_adapters: mergedAdaptersField,
  prompt: promptField,
  max_tokens: integer({ from: 0, default: 16, about: 'new tokens at most; 0: the prompt alone' }),
  ...samplingFields,
  ...grammarFields,
  stream_options: streamOptionsField,
  logprobs: integer({ from: 0, to: 20, about: 'log-probabilities of this many tokens a place' }),
  prompt_logprobs: integer({ from: 0, to: 20, about: 'the same of the prompt’s tokens' }),
  echo: flag({ about: 'the text begins with the prompt' }),
  best_of: integer({ from: 1, to: 128, about: 'as many as n: all answers are given' }),
}

export type CompletionBody = GivenOptions<typeof completionFields>

export const completionForm: BodyForm<typeof completionFields> = {
  fields: completionFields,
  required: ['prompt'],
  refused: refusedInCompletions,
}

/** The request of a body. Throws RequestError if fields contradict each other. */
export function toCompletionRequest(body: CompletionBody, base: ServedBase): AnswerRequest {
  checkStreamOptions(body)
  const { max_tokens: maxTokens = 16, echo = false, logprobs, n: copies = 1, stream } = body
  const prompts = readPrompts(body.prompt!)
  if (prompts.length * copies > MOST_ANSWERS)
    throw new RequestError(
      `${prompts.length} prompts with ${copies} answers each are more than ${MOST_ANSWERS}. Send several requests.`,
      { param: 'n', code: 'invalid_value' },
    )
  if (body.best_of !== undefined && body.best_of !== copies)
    throw new RequestError(
      `best_of is ${body.best_of} and n is ${copies}: expected equal numbers, because every generated answer is returned. Use n.`,
      { param: 'best_of', code: 'invalid_value' },
    )
  if (body.prompt_logprobs !== undefined && stream)
    throw new RequestError('prompt_logprobs needs a complete answer: set stream to false.', {
      param: 'prompt_logprobs',
      code: 'invalid_value',
    })
  // With echo the prompt is part of the answer, so its tokens have log-probabilities too.
  const promptLogprobs = body.prompt_logprobs ?? (echo ? logprobs : undefined)
  return {
    model: readModel(body, base),
    scales: body.lora,
    prompts,
    copies,
    maxTokens,
    minTokens: readMinTokens(body, maxTokens),
    sampling: readSampling(body, base.vocabularySize),
    seed: readSeed(body.seed),
    speculate: body.speculate,
    stop: readStop(body.stop),
    grammar: readGrammar(body),
    logprobs,
    promptLogprobs,
    echoes: echo,
    tenant: body.cache_salt,
  }
}
