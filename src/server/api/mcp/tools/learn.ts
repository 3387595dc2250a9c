// learn: teaches a user's tiers the right answer to a prompt.

import { string, withInfo } from '../../../../base/schema.ts'
import { chatFields, toChatRequest } from '../../openai/chat-fields.ts'
import { collectAnswers } from '../../requests/collect-answers.ts'
import { defineTool } from '../mcp-tool.ts'
import { conversationFields, readMessages } from './prompt-fields.ts'

export const learnTool = defineTool({
  name: 'learn',
  title: 'Teach an answer',
  about:
    'Teaches one user what the answer to a prompt is. It acts on the next answers for that user, needs no training run, and can be taken back. For many rows use train.',
  scope: 'feedback',
  fields: {
    ...conversationFields,
    answer: string({ filled: true, about: 'what the model should answer' }),
    user: string({ filled: true, about: 'whose tiers learn it' }),
    model: withInfo(chatFields.model, { about: 'who is taught: the base, or an expert' }),
  },
  required: ['answer', 'user'],
  isReadOnly: false,
  answer: {
    type: 'object',
    properties: {
      id: { type: 'string' },
      user: { type: 'string' },
      expert: { type: ['string', 'null'] },
      turn: { type: 'integer' },
      loss: { type: 'number' },
    },
    required: ['id', 'user', 'expert', 'turn'],
  },
  async run({ given, caller, signal }) {
    const { answer, user, model } = given
    const messages = readMessages(given)
    const { service } = caller
    await service.showUser(user!) // refuses if the server does not learn
    const request = toChatRequest(
      { messages, max_tokens: 1, temperature: 0, ...(model !== undefined && { model }) },
      await service.describe(),
    )
    const id = caller.createId('mcp-')
    await collectAnswers(caller.answer(request, user, id, signal))
    const outcome = await service.feedback({ responseId: id, correction: answer, user })
    const { expert, ...learned } = outcome
    const value = Object.assign({ id, expert: expert ?? null }, learned)
    const loss =
      outcome.loss === undefined
        ? ''
        : `; its loss was ${outcome.loss.toFixed(3)} nats per token before`
    return { text: `${user} is taught this answer (turn ${outcome.turn})${loss}.`, value }
  },
})
