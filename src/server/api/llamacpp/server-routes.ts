// llama.cpp's routes about the server itself: health, properties, slots.

import { defineRoute } from '../../route.ts'
import { chatFields, toConversation } from '../openai/chat-fields.ts'

export const healthRoute = defineRoute({
  method: 'GET',
  path: '/health',
  scope: 'open',
  tag: 'llama.cpp',
  summary: 'Returns 200 while the server answers.',
  handle: async () => Response.json({ status: 'ok' }),
})

export const propsRoute = defineRoute({
  method: 'GET',
  path: '/props',
  scope: 'infer',
  tag: 'llama.cpp',
  summary: 'Describes what is served.',
  async handle({ service }) {
    const base = await service.describe()
    return Response.json({
      default_generation_settings: { n_ctx: base.contextTokens },
      total_slots: base.maxRows,
      model_alias: base.name,
      chat_template: base.chatTemplate,
      bos_token: base.specialTokens['bos_token'] ?? '',
      eos_token: base.specialTokens['eos_token'] ?? '',
      modalities: { vision: false, audio: false },
      build_info: 'graft',
    })
  },
})

export const slotsRoute = defineRoute({
  method: 'GET',
  path: '/slots',
  scope: 'infer',
  tag: 'llama.cpp',
  summary: 'Returns which rows are busy.',
  async handle({ service }) {
    const [{ maxRows, contextTokens }, { running }] = await Promise.all([
      service.describe(),
      service.stats(),
    ])
    return Response.json(
      Array.from({ length: maxRows }, (_, id) => ({
        id,
        n_ctx: contextTokens,
        is_processing: id < running,
      })),
    )
  },
})

const { model, messages, tools, tool_choice, chat_template_kwargs, add_generation_prompt } =
  chatFields

export const applyTemplateRoute = defineRoute({
  method: 'POST',
  path: '/apply-template',
  scope: 'infer',
  tag: 'llama.cpp',
  summary: 'Gives the prompt that a conversation becomes.',
  body: {
    fields: { model, messages, tools, tool_choice, chat_template_kwargs, add_generation_prompt },
    required: ['messages'],
  },
  async handle({ service, body }) {
    const conversation = toConversation(body)
    return Response.json({
      prompt: await service.applyTemplate({ model: body.model, conversation }),
    })
  },
})
