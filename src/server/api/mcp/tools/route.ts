// route: which expert the router would choose for a prompt, and why.

import { string } from '../../../../base/schema.ts'
import { defineTool } from '../mcp-tool.ts'
import { conversationFields, readMessages } from './prompt-fields.ts'

export const routeTool = defineTool({
  name: 'route',
  title: 'Choose an expert',
  about:
    'Returns which expert the router would choose for a prompt, its confidence, and the reason. Nothing is answered.',
  scope: 'infer',
  fields: Object.assign({}, conversationFields, {
    user: string({ filled: true, about: 'who asks' }),
  }),
  required: [],
  isReadOnly: true,
  answer: {
    type: 'object',
    properties: {
      expert: { type: ['string', 'null'] },
      confidence: { type: 'number' },
      reason: { type: 'string' },
      by: { type: 'string' },
      upstream: { type: 'string' },
      scores: { type: 'array', items: { type: 'object' } },
    },
    required: ['expert', 'confidence', 'reason', 'by', 'scores'],
  },
  async run({ given, caller, signal }) {
    const conversation = { messages: readMessages(given) }
    const value = await caller.service.explainRoute(conversation, given.user, signal)
    return { text: value.reason, value }
  },
})
