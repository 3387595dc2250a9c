// generate: text by the base, an expert or a mixture.

import { collectAnswers } from '../../requests/collect-answers.ts'
import { toRouteField } from '../../requests/route-fields.ts'
import { toUsageBody } from '../../openai/usage.ts'
import { defineTool } from '../mcp-tool.ts'
import { askFields, reportPieces, toAskedRequest } from './prompt-fields.ts'

export const generateTool = defineTool({
  name: 'generate',
  title: 'Generate text',
  about:
    'Answers a prompt or a conversation with the local model: its base, one of its experts, or a weighted mixture of them, by "model". The id is what feedback calls the answer.',
  scope: 'infer',
  fields: askFields,
  required: [],
  isReadOnly: true,
  answer: {
    type: 'object',
    properties: {
      id: { type: 'string' },
      model: { type: 'string' },
      expert: { type: ['string', 'null'] },
      text: { type: 'string' },
      reasoning: { type: 'string' },
      finish_reason: { enum: ['stop', 'length'] },
      usage: { type: 'object' },
      route: { type: 'object' },
    },
    required: ['id', 'model', 'expert', 'text', 'finish_reason', 'usage'],
  },
  async run(call) {
    const { given, caller, signal } = call
    const request = toAskedRequest(given, await caller.service.describe())
    const id = caller.createId('mcp-')
    const events = caller.answer(request, given.user, id, signal)
    const { model, expert, route, answers } = await collectAnswers(reportPieces(call, events))
    const { text, reasoning, reason, usage } = answers[0]!
    return {
      text,
      value: {
        id,
        model,
        expert: expert ?? null,
        text,
        ...(reasoning !== '' && { reasoning }),
        finish_reason: reason === 'length' ? 'length' : 'stop',
        usage: toUsageBody(usage),
        ...toRouteField(route),
      },
    }
  },
})
