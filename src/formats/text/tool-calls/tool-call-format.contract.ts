// What every format of tool calls must do, whatever its notation. A format's test provides answers
// and their expected calls.

import { expect, it } from 'vitest'
import { random } from '../../../base/random.ts'
import { createToolCallParser, type ToolCallParserOptions } from './create-parser.ts'
import { joinToolCallEvents, type ParsedAnswer, parseAnswer } from './parse-answer.ts'
import type { ToolCallEvent, ToolCallFormat, ToolDefinition } from './tool-call-format.ts'

/** An answer, and what it says: texts, and calls as name and arguments. */
export interface AnswerCase extends ToolCallParserOptions {
  readonly about: string
  readonly answer: string
  readonly text?: string
  readonly reasoning?: string
  readonly calls?: readonly (readonly [name: string, json: string])[]
}

export const contractTools: ToolDefinition[] = [
  {
    name: 'get_weather',
    description: 'Weather of a city',
    parameters: {
      type: 'object',
      properties: {
        city: { type: 'string' },
        days: { type: 'integer' },
        units: { type: 'string', enum: ['metric', 'imperial'] },
        where: { type: 'object', properties: { lat: { type: 'number' } } },
        tags: { type: 'array', items: { type: 'string' } },
        exact: { type: 'boolean' },
      },
      required: ['city'],
    },
  },
  { name: 'noop', parameters: { type: 'object', properties: {} } },
]

/** Neighbouring pieces of one thing as one event. */
export function mergeEvents(events: readonly ToolCallEvent[]): ToolCallEvent[] {
  const merged: ToolCallEvent[] = []
  for (const event of events) {
    const last = merged.at(-1)
    const isPiece = event.type !== 'call-broken' && 'text' in event
    if (isPiece && last?.type === event.type && 'text' in last)
      merged[merged.length - 1] = { ...last, text: last.text + event.text }
    else merged.push(event)
  }
  return merged
}

export function readPieces(
  format: ToolCallFormat,
  pieces: readonly string[],
  options: ToolCallParserOptions,
): ToolCallEvent[] {
  const parser = createToolCallParser(format, options)
  return [...pieces.flatMap((piece) => parser.push(piece)), ...parser.end()]
}

const isWhole = (text: string): boolean => !/[\ud800-\udbff]$|^[\udc00-\udfff]/.test(text)

/** Every cut in two, single characters, and random cuts. */
function* cutText(text: string, seed: number): Generator<string[]> {
  yield [text]
  yield [...text.split('')]
  for (let at = 1; at < text.length; at++) yield [text.slice(0, at), text.slice(at)]
  const { integer } = random(seed)
  for (let run = 0; run < 20; run++) {
    const pieces: string[] = []
    for (let at = 0; at < text.length;) {
      const length = 1 + integer(7)
      pieces.push(text.slice(at, at + length))
      at += length
    }
    yield pieces
  }
}

/** Calls with arguments as values, for comparing them. */
const toValues = ({ calls }: ParsedAnswer): unknown[] =>
  calls.map((call) => [call.name, JSON.parse(call.arguments) as unknown])

const expectSameForEveryCut = (
  format: ToolCallFormat,
  answer: string,
  options: ToolCallParserOptions,
): void => {
  const whole = mergeEvents(readPieces(format, [answer], options))
  for (const pieces of cutText(answer, answer.length)) {
    const events = readPieces(format, pieces, options)
    expect(mergeEvents(events), JSON.stringify(pieces)).toEqual(whole)
    for (const event of events)
      if ('text' in event) expect(isWhole(event.text), JSON.stringify(event)).toBe(true)
  }
}

/** Texts that are no calls in any format. */
const plainTexts = [
  'Hello there.',
  '  Hello\n\n there \n',
  '',
  ' \n',
  '{"answer": 42}',
  '{"name": "Ada", "born": 1815}',
  '[1, 2, 3]',
  'if (a < b) { return "<tool>" }',
  '```json\n{"a": [1, {"b": "```"}]}\n```\ndone',
  '```python\nprint(1 + 1)\n```',
  '<tool_call> is a marker, <think> is another.',
  '😀 <|x|> [TOOL] <func>',
]

export function describeToolCallFormat(format: ToolCallFormat, cases: readonly AnswerCase[]): void {
  const tools = contractTools
  for (const given of cases) {
    const { about, answer, text = '', reasoning = '', calls = [] } = given
    const options = { tools: given.tools ?? tools, inReasoning: given.inReasoning }
    it(`${about}, in every cutting`, () => {
      const parsed = parseAnswer(format, answer, options)
      expect({ text: parsed.text, reasoning: parsed.reasoning }).toEqual({ text, reasoning })
      expect(parsed.calls.map((call) => [call.name, call.arguments])).toEqual(calls)
      expectSameForEveryCut(format, answer, options)
    })
  }
  it('text that holds no call comes out as it is', () => {
    for (const text of plainTexts) {
      expect(parseAnswer(format, text, { tools })).toEqual({ text, reasoning: '', calls: [] })
      expectSameForEveryCut(format, text, { tools })
    }
  })
  it('an answer that stops anywhere loses nothing', () => {
    const squeeze = (text: string): string => text.replaceAll(/\s/g, '')
    for (const { answer } of cases.filter((one) => one.calls && !one.inReasoning && !one.reasoning))
      for (let at = 0; at <= answer.length; at++) {
        const events = readPieces(format, [answer.slice(0, at)], { tools })
        if (events.some(({ type }) => type === 'call-end')) break
        expect(squeeze(joinToolCallEvents(events).text)).toBe(squeeze(answer.slice(0, at)))
      }
  })
  it('without tools to call it finds reasoning alone', () => {
    for (const { answer, inReasoning } of cases) {
      const { calls } = parseAnswer(format, answer, { tools: [], inReasoning })
      expect(calls).toEqual([])
    }
  })
  it('reads the calls that it writes', () => {
    const written = [
      {
        name: 'get_weather',
        arguments: '{"city":"Zürich \\"😀\\"\\n}{","days":12345678901234567890}',
      },
      { name: 'noop', arguments: '{}' },
      { name: 'get_weather', arguments: '{"city":"a","where":{"lat":1.0},"tags":["x","y"]}' },
    ]
    const text = format.formatCalls(written)
    const parsed = parseAnswer(format, `${text}\n`, { tools })
    expect(parsed.text).toBe('')
    expect(toValues(parsed)).toEqual(
      written.map((call) => [call.name, JSON.parse(call.arguments) as unknown]),
    )
    expect(parsed.calls[0]!.arguments).toContain('12345678901234567890')
    expect(parsed.calls[2]!.arguments).toContain('1.0')
    expectSameForEveryCut(format, text, { tools })
  })
  it('describes every function once in prompt and grammar', () => {
    const { tags, triggers } = format.describeCalls(tools)
    expect(tags.map(({ begin }) => begin.match(/get_weather|noop/g))).toEqual([
      ['get_weather'],
      ['noop'],
    ])
    const { around } = format.describeCalls(tools)
    for (const { begin } of tags)
      expect(triggers.some((trigger) => (around?.begin ?? begin).startsWith(trigger))).toBe(true)
    for (const { name } of tools) expect(format.describeTools(tools)).toContain(name)
  })
}
