// object: JSON that fits a schema, because a grammar constrains every token.

import { RequestError } from '../../../request-error.ts'
import { collectAnswers } from '../../requests/collect-answers.ts'
import { jsonSchemaField } from '../../requests/read-grammar.ts'
import { toUsageBody } from '../../openai/usage.ts'
import { defineTool } from '../mcp-tool.ts'
import { askFields, reportPieces, toAskedRequest } from './prompt-fields.ts'

export const objectTool = defineTool({
  name: 'object',
  title: 'Generate JSON',
  about:
    'Answers a prompt or a conversation with JSON that fits a JSON Schema: each token is held to the schema while it is written.',
  scope: 'infer',
  fields: Object.assign({}, askFields, { schema: jsonSchemaField }),
  required: ['schema'],
  isReadOnly: true,
  answer: {
    type: 'object',
    properties: {
      id: { type: 'string' },
      model: { type: 'string' },
      expert: { type: ['string', 'null'] },
      object: {},
      usage: { type: 'object' },
    },
    required: ['id', 'model', 'expert', 'object', 'usage'],
  },
  async run(call) {
    const { schema, ...given } = call.given
    const { caller, signal } = call
    const asked = toAskedRequest(given, await caller.service.describe())
    const request = Object.assign({}, asked, { grammar: { type: 'json-schema', schema: schema! } })
    const id = caller.createId('mcp-')
    const events = caller.answer(request, given.user, id, signal)
    const { model, expert, answers } = await collectAnswers(reportPieces(call, events))
    const { text, reason, usage } = answers[0]!
    return {
      text,
      value: {
        id,
        model,
        expert: expert ?? null,
        object: parseWhole(text, reason === 'length', usage.completionTokens),
        usage: toUsageBody(usage),
      },
    }
  },
})

function parseWhole(text: string, isCut: boolean, tokens: number): unknown {
  try {
    return JSON.parse(text)
  } catch (cause) {
    if (!isCut) throw cause
    throw new RequestError(
      `The answer was cut after ${tokens} tokens, before the JSON was whole. Give more max_tokens, or a schema with bounds.`,
      { param: 'max_tokens', code: 'answer_cut' },
      { cause },
    )
  }
}
