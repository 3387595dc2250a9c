// Answers that are constrained to calls, in every format: text sampled at a high temperature parses
// as calls of the offered functions, with arguments that fit their schemas.

import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { describeToolGrammar } from '../../formats/text/tool-calls/describe-grammar.ts'
import { toolCallFormats } from '../../formats/text/tool-calls/format-table.ts'
import { parseAnswer } from '../../formats/text/tool-calls/parse-answer.ts'
import type { ToolCallFormat, ToolChoice } from '../../formats/text/tool-calls/tool-call-format.ts'
import { readToolDefinitions } from '../../formats/text/tool-calls/tool-definition.ts'
import type { GrammarChoice } from '../../formats/grammar/grammar-choice.ts'
import { readGrammar } from '../../formats/grammar/read-grammar.ts'
import { type LoadedModel, loadModel } from '../model.ts'

let model: LoadedModel
beforeAll(async () => {
  model = await loadModel('stories260k')
})
afterAll(() => model.dispose())

const tools = readToolDefinitions([
  {
    name: 'plan',
    parameters: {
      type: 'object',
      properties: {
        units: { type: 'string', enum: ['metric', 'imperial', ''] },
        exact: { type: 'boolean' },
        level: { $ref: '#/$defs/level' },
        where: {
          type: 'object',
          properties: { side: { type: 'string', enum: ['left', 'right'] } },
          required: ['side'],
          additionalProperties: false,
        },
        marks: { type: 'array', items: { type: 'boolean' }, maxItems: 2 },
      },
      required: ['units', 'level'],
      additionalProperties: false,
      $defs: { level: { type: 'integer', minimum: 1, maximum: 9 } },
    },
  },
  { name: 'noop', parameters: { type: 'object', properties: {}, additionalProperties: false } },
])

const fits = (name: string, json: string): boolean => {
  const value = JSON.parse(json) as Record<string, unknown>
  if (name === 'noop') return Object.keys(value).length === 0
  const { units, exact, level, where, marks, ...others } = value
  return (
    Object.keys(others).length === 0 &&
    ['metric', 'imperial', ''].includes(units as string) &&
    Number.isInteger(level) &&
    [undefined, true, false].includes(exact as boolean) &&
    (where === undefined || ['left', 'right'].includes((where as { side: string }).side)) &&
    (marks === undefined || (marks as unknown[]).every((mark) => typeof mark === 'boolean'))
  )
}

/**
 * Two answers that came to their end, which some draws do not; fewer where twelve draws do not do.
 */
async function drawAnswers(grammar: GrammarChoice): Promise<string[]> {
  const texts: string[] = []
  for (let seed = 0; seed < 12 && texts.length < 2; seed++) {
    const options = { grammar, seed, temperature: 1.5, maxTokens: 400 }
    for await (const event of model.generate('Once upon a time', options))
      if (event.type === 'generation-end' && event.reason === 'eos') texts.push(event.text)
  }
  return texts
}

const choices: readonly [string, ToolChoice, readonly string[]][] = [
  ['required', 'required', ['plan', 'noop']],
  ['a name', { name: 'plan' }, ['plan']],
]

describe.each(toolCallFormats.map((format): [string, ToolCallFormat] => [format.name, format]))(
  '%s',
  (_, format) => {
    it.each(choices)('%s: one call that fits', async (_name, choice, names) => {
      const grammar = describeToolGrammar(format, tools, choice, { oneCall: true })!
      const texts = await drawAnswers(grammar)
      expect(texts).toHaveLength(2)
      for (const text of texts) {
        const { calls, text: rest } = parseAnswer(format, text, { tools })
        expect(rest, text).toBe('')
        expect(calls, text).toHaveLength(1)
        expect(names).toContain(calls[0]!.name)
        expect(fits(calls[0]!.name, calls[0]!.arguments), text).toBe(true)
      }
    })
    it('reads as a grammar, with several calls, free text and a thought', () => {
      for (const choice of ['auto', 'required'] as const)
        for (const oneCall of [false, true])
          for (const reasons of [false, true]) {
            const grammar = describeToolGrammar(format, tools, choice, { oneCall, reasons })!
            expect(readGrammar(grammar).text).toContain('noop')
          }
    })
  },
)
