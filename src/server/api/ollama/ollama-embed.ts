// Ollama's /api/embed: a vector for each text.

import { createField } from '../../../base/schema.ts'
import { defineRoute } from '../../route.ts'
import { answerFields, describeError, readModel } from './ollama-fields.ts'

const inputField = createField<string | readonly string[]>(
  'a string or a list of at least one',
  { anyOf: [{ type: 'string' }, { type: 'array', items: { type: 'string' }, minItems: 1 }] },
  (value) =>
    typeof value === 'string' ||
    (Array.isArray(value) && value.length > 0 && value.every((one) => typeof one === 'string')),
)

export const embedRoute = defineRoute({
  method: 'POST',
  path: '/api/embed',
  scope: 'infer',
  tag: 'Ollama',
  summary: 'Gives a vector of length 1 for each text, in Ollama’s form.',
  body: {
    fields: { model: answerFields.model, input: inputField, keep_alive: answerFields.keep_alive },
    required: ['model', 'input'],
    refused: {
      truncate: { reason: 'inputs are not cut; shorten them', neutral: [false] },
      dimensions: { reason: 'vectors have the width of the model and are not cut' },
      options: { reason: 'an embedding draws no tokens', neutral: [{}] },
    },
  },
  answer: { type: 'object', required: ['model', 'embeddings'] },
  describeError,
  async handle({ service, body, signal, context }) {
    const inputs = typeof body.input === 'string' ? [body.input] : body.input!
    const started = performance.now()
    const result = await service.embed({ model: readModel(body.model), inputs }, signal)
    const { vectors, promptTokens, expert } = result
    const promptMs = performance.now() - started
    context.get('reportUsage')?.({
      expert,
      user: undefined,
      end: 'done',
      promptTokens,
      cachedTokens: 0,
      completionTokens: 0,
      reasoningTokens: 0,
      promptMs,
      decodeMs: 0,
    })
    return Response.json({
      model: body.model,
      embeddings: vectors.map((vector) => [...vector]),
      total_duration: Math.round(promptMs * 1e6),
      load_duration: 0,
      prompt_eval_count: promptTokens,
    })
  },
})
