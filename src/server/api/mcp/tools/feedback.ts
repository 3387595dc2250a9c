// feedback: rates an answer of generate or object; the user's tiers and the router learn from it.

import { feedbackFields, sendFeedback } from '../../users/user-routes.ts'
import { defineTool } from '../mcp-tool.ts'

export const feedbackTool = defineTool({
  name: 'feedback',
  title: 'Rate an answer',
  about:
    'Rates an answer: a thumb, a quality from 0 to 1, or what it should have been. The user whom the answer was for is learned from at once.',
  scope: 'feedback',
  fields: feedbackFields,
  required: ['id'],
  isReadOnly: false,
  answer: {
    type: 'object',
    properties: {
      id: { type: 'string' },
      user: { type: 'string' },
      expert: { type: ['string', 'null'] },
      turn: { type: 'integer' },
      reward: { type: 'number' },
      loss: { type: 'number' },
    },
    required: ['id', 'user', 'expert', 'turn'],
  },
  async run({ given, caller }) {
    const value = await sendFeedback(caller.service, given)
    return { text: JSON.stringify(value), value }
  },
})
