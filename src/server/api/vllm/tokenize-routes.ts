// Texts to token ids and back, as vLLM's clients ask (prompt, messages) and as llama.cpp's do
// (content): both use the same paths.

import { createField, flag, isRecord, listOf, naturalNumber, string } from '../../../base/schema.ts'
import { messagesField } from '../requests/message-field.ts'
import { modelField } from '../requests/model-field.ts'
import { RequestError } from '../../request-error.ts'
import { defineRoute } from '../../route.ts'

const variablesField = createField<Readonly<Record<string, unknown>>>(
  'an object',
  { type: 'object' },
  isRecord,
)

export const tokenizeRoute = defineRoute({
  method: 'POST',
  path: '/tokenize',
  scope: 'infer',
  tag: 'vLLM',
  summary: 'Returns the token ids of a text or a conversation.',
  body: {
    fields: {
      model: modelField,
      prompt: string({ about: 'a text (vLLM)' }),
      messages: messagesField,
      content: string({ about: 'a text (llama.cpp)' }),
      add_special_tokens: flag({ about: 'BOS before a prompt (vLLM; default true)' }),
      add_special: flag({ about: 'BOS before content (llama.cpp; default false)' }),
      add_generation_prompt: flag({ about: "opens the assistant's turn" }),
      chat_template_kwargs: variablesField,
      return_token_strs: flag({ about: 'the text of each token too (vLLM)' }),
      with_pieces: flag({ about: 'tokens as { id, piece } (llama.cpp)' }),
    },
    required: [],
    refused: {
      parse_special: { reason: 'special tokens in a text become their ids', neutral: [true] },
      continue_final_message: { reason: 'an assistant message at the end is continued anyway' },
    },
  },
  async handle({ service, body }) {
    const { prompt, messages, content } = body
    const given = [prompt, messages, content].filter((one) => one !== undefined)
    if (given.length !== 1)
      throw new RequestError(
        `Give one of prompt, messages and content; got ${given.length} of them.`,
        { param: 'prompt', code: 'invalid_value' },
      )
    const { ids, tokens } = await service.tokenize({
      model: body.model,
      text: prompt ?? content,
      addSpecialTokens:
        content === undefined ? (body.add_special_tokens ?? true) : (body.add_special ?? false),
      conversation: messages && {
        messages,
        variables: body.chat_template_kwargs,
        opensAnswer: body.add_generation_prompt,
      },
    })
    const { contextTokens } = await service.describe()
    return Response.json({
      count: ids.length,
      max_model_len: contextTokens,
      tokens: body.with_pieces ? ids.map((id, i) => ({ id, piece: tokens[i] })) : ids,
      token_strs: body.return_token_strs ? tokens : null,
    })
  },
})

export const detokenizeRoute = defineRoute({
  method: 'POST',
  path: '/detokenize',
  scope: 'infer',
  tag: 'vLLM',
  summary: 'Gives the text of token ids.',
  body: { fields: { model: modelField, tokens: listOf(naturalNumber) }, required: ['tokens'] },
  async handle({ service, body }) {
    const text = await service.detokenize({ model: body.model, ids: body.tokens! })
    return Response.json({ prompt: text, content: text })
  },
})

export const tokenizerInfoRoute = defineRoute({
  method: 'GET',
  path: '/tokenizer_info',
  scope: 'infer',
  tag: 'vLLM',
  summary: 'Describes the tokenizer: special tokens, chat template, context.',
  async handle({ service }) {
    const { specialTokens, chatTemplate, contextTokens, vocabularySize } = await service.describe()
    return Response.json({
      tokenizer_class: 'PreTrainedTokenizerFast',
      ...specialTokens,
      chat_template: chatTemplate,
      model_max_length: contextTokens,
      vocab_size: vocabularySize,
    })
  },
})
