// POST /v1/embeddings: one vector for each input, through the base or an expert.

import { poolings } from '../../../adapters/serving/pooling.ts'
import { oneOf, string } from '../../../base/schema.ts'
import { modelField } from '../requests/model-field.ts'
import { refusedInEmbeddings } from '../requests/refused-fields.ts'
import { scalesField } from '../requests/sampling-fields.ts'
import { defineRoute } from '../../route.ts'
import { promptField, readPrompts } from './completion-fields.ts'

export const embeddingsRoute = defineRoute({
  method: 'POST',
  path: '/v1/embeddings',
  scope: 'infer',
  tag: 'OpenAI',
  summary: 'Gives a vector of length 1 for each text or list of token ids.',
  body: {
    fields: {
      model: modelField,
      input: promptField,
      encoding_format: oneOf(['float', 'base64'], { about: 'base64: float32, little-endian' }),
      user: string({ filled: true, about: 'who asks: for usage' }),
      lora: scalesField,
      pooling: oneOf(poolings, { about: 'default: as the expert was trained, else mean' }),
    },
    required: ['input'],
    refused: refusedInEmbeddings,
  },
  answer: { type: 'object', required: ['object', 'data', 'model', 'usage'] },
  async handle({ service, body, signal, context }) {
    const inputs = readPrompts(body.input!)
    const { model, lora: scales, encoding_format: format, user, pooling } = body
    const started = performance.now()
    const result = await service.embed({ model, scales, inputs, pooling }, signal)
    const { vectors, promptTokens, expert } = result
    context.get('reportUsage')?.({
      expert,
      user,
      end: 'done',
      promptTokens,
      cachedTokens: 0,
      completionTokens: 0,
      reasoningTokens: 0,
      promptMs: performance.now() - started,
      decodeMs: 0,
    })
    return Response.json({
      object: 'list',
      data: vectors.map((vector, index) => ({
        object: 'embedding',
        index,
        embedding: format === 'base64' ? toBase64(vector) : [...vector],
      })),
      model: model?.trim() ?? (await service.describe()).name,
      usage: { prompt_tokens: promptTokens, total_tokens: promptTokens },
    })
  },
})

function toBase64(vector: Float32Array): string {
  const bytes = new DataView(new ArrayBuffer(vector.length * 4))
  vector.forEach((value, i) => bytes.setFloat32(i * 4, value, true))
  let text = ''
  for (const byte of new Uint8Array(bytes.buffer)) text += String.fromCharCode(byte)
  return btoa(text)
}
