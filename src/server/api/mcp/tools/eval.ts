// eval: how well models know the answers of rows: the mean loss of the answers' tokens, and how
// many answers are written exactly.

import { createField, flag, isRecord, listOf, string } from '../../../../base/schema.ts'
import type { AnswerRequest } from '../../../service.ts'
import { collectAnswers } from '../../requests/collect-answers.ts'
import { readSampling } from '../../requests/sampling-fields.ts'
import { defineTool, type McpToolCall } from '../mcp-tool.ts'

interface EvalRow {
  readonly prompt: string
  readonly completion: string
}

const mostRows = 1000

const isRow = (row: unknown): boolean =>
  isRecord(row) &&
  Object.keys(row).length === 2 &&
  [row['prompt'], row['completion']].every((text) => typeof text === 'string' && text !== '')

const rowsField = createField<readonly EvalRow[]>(
  `a list of 1 to ${mostRows} rows { prompt, completion }, both filled`,
  {
    type: 'array',
    minItems: 1,
    maxItems: mostRows,
    items: {
      type: 'object',
      additionalProperties: false,
      properties: { prompt: { type: 'string' }, completion: { type: 'string' } },
      required: ['prompt', 'completion'],
    },
  },
  (value) =>
    Array.isArray(value) && value.length > 0 && value.length <= mostRows && value.every(isRow),
  { about: 'prompts and the answers that are right' },
)

export const evalTool = defineTool({
  name: 'eval',
  title: 'Evaluate models',
  about:
    'Compares models on rows of prompts and right answers: the mean loss of the answers in nats per token, its perplexity, and the share that is written exactly. Use rows that no training saw.',
  scope: 'infer',
  fields: {
    rows: rowsField,
    models: listOf(string({ filled: true }), {
      least: 1,
      about: 'who is compared; default: the base',
    }),
    chat: flag({ about: 'prompts are messages of a user, by the chat template' }),
  },
  required: ['rows'],
  isReadOnly: true,
  answer: {
    type: 'object',
    properties: {
      rows: { type: 'integer' },
      results: {
        type: 'array',
        items: {
          type: 'object',
          required: ['model', 'loss', 'perplexity', 'exact'],
          properties: {
            model: { type: 'string' },
            loss: { type: 'number' },
            perplexity: { type: 'number' },
            exact: { type: 'number' },
          },
        },
      },
    },
    required: ['rows', 'results'],
  },
  async run(call) {
    const { rows = [], models, chat = false } = call.given
    const { name, vocabularySize } = await call.caller.service.describe()
    const sampling = readSampling({ temperature: 0 }, vocabularySize)
    const results = []
    let done = 0
    for (const model of models ?? [name]) {
      const sum = { loss: 0, tokens: 0, exact: 0 }
      for (const row of rows) {
        const scored = await scoreRow(call, { model, copies: 1, sampling, stop: [] }, row, chat)
        sum.loss += scored.loss
        sum.tokens += scored.tokens
        sum.exact += scored.isExact ? 1 : 0
        await call.report(++done, `${model}: ${done} rows`, rows.length * (models?.length ?? 1))
      }
      const loss = sum.loss / sum.tokens
      results.push({ model, loss, perplexity: Math.exp(loss), exact: sum.exact / rows.length })
    }
    const lines = results.map(
      (one) =>
        `${one.model}: loss ${one.loss.toFixed(4)}, perplexity ${one.perplexity.toFixed(2)}, exact ${(one.exact * 100).toFixed(1)} %`,
    )
    return { text: lines.join('\n'), value: { rows: rows.length, results } }
  },
})

/** The summed loss of an answer's tokens, and whether the model writes the answer itself. */
async function scoreRow<Given>(
  { caller, signal }: McpToolCall<Given>,
  shared: Pick<AnswerRequest, 'model' | 'copies' | 'sampling' | 'stop'>,
  { prompt, completion }: EvalRow,
  isChat: boolean,
): Promise<{ loss: number; tokens: number; isExact: boolean }> {
  const { service } = caller
  const { model } = shared
  const conversation = { messages: [{ role: 'user', content: prompt }] }
  const start = isChat ? await service.applyTemplate({ model, conversation }) : prompt
  const encode = async (text: string): Promise<readonly number[]> =>
    (await service.tokenize({ model, text, addSpecialTokens: !isChat })).ids
  const opening = await encode(start)
  const all = await encode(start + completion)
  // the last token of a prompt may change when the answer follows
  const differing = opening.findIndex((id, i) => id !== all[i])
  const begin = differing < 0 ? opening.length : differing
  const ask = (request: Partial<AnswerRequest>) =>
    collectAnswers(
      caller.answer(Object.assign({}, shared, request), undefined, caller.createId('mcp-'), signal),
    )
  const whole = await ask({ prompts: [all], maxTokens: 0, promptLogprobs: 0 })
  const asked = { prompts: [all.slice(0, begin)], maxTokens: all.length - begin }
  const written = await ask(asked)
  const tokens = whole.answers[0]!.promptTokens!.slice(begin)
  const loss = tokens.reduce((sum, { logprob }) => sum - (logprob ?? 0), 0)
  const isExact = written.answers[0]!.ids.join() === all.slice(begin).join()
  return { loss, tokens: tokens.length, isExact }
}
