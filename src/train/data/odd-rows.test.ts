// Odd rows by the hundred: each is used, left out and counted, or refused by name. All of them are
// in test/corpus.long.test.ts.

import { describe, expect, it } from 'vitest'
import { random } from '../../base/random.ts'
import { createOddRow, rowMutations } from '../../../test/support/corpus/odd-rows.ts'
import { soundRows } from '../../../test/support/corpus/sound-rows.ts'
import { judgeRow, faults } from '../../../test/support/corpus/row-outcome.ts'
import { characterTokenizer, chatTemplate } from '../../../test/support/train.ts'
import { encodeData } from './encode.ts'
import { dataFormats, readRows } from './format-table.ts'
import { createRawDataset, parseJsonl } from './jsonl.ts'

const tokenizer = characterTokenizer()
const isFault = (outcome: string): boolean => faults.some((fault) => fault === outcome)

describe('odd rows', () => {
  it('begin with sound ones of every format', () => {
    // No other tool reads rows with a reward, and none of the compared ones rows for embeddings;
    // row-keys.test.ts has the odd rows of both.
    const alone = ['graded', 'contrastive']
    const compared = [...dataFormats.keys()].filter((format) => !alone.includes(format))
    expect(new Set(soundRows.map(([format]) => format))).toEqual(new Set(compared))
    for (const [format, row] of soundRows) {
      const { format: found, rows } = readRows(createRawDataset([row], 'data'))
      expect([found.name, rows[0]!.problems]).toEqual([format, []])
    }
  })
  it('are never passed over in silence, and never end in a crash', () => {
    const draw = random(1)
    const count = 20 * rowMutations.length
    const wrong = Array.from({ length: count }, (_, i) => createOddRow(i, draw))
      .map((odd) => ({
        mutation: odd.mutation,
        line: odd.line,
        judgement: judgeRow(odd, tokenizer),
      }))
      .filter(({ judgement }) => isFault(judgement.outcome))
    expect(wrong).toEqual([])
  })
  it('would not pass if one were silent', () => {
    const sound = { prompt: 'a', completion: 'b' }
    const odd = { number: 0, format: 'prompt-completion', mutation: 'none', sound }
    const line = JSON.stringify(sound)
    expect(judgeRow(Object.assign({ line, without: sound }, odd), tokenizer).outcome).toBe('silent')
  })
})

const problemsOf = (row: object): string =>
  readRows(createRawDataset([row], 'data')).rows[0]!.problems.join()
const leftOutOf = (row: object): object | undefined =>
  encodeData(createRawDataset([row], 'data'), { tokenizer, chatTemplate, maxTokens: 100 }).summary
    ?.leftOut

describe('what odd rows found', () => {
  const user = { role: 'user', content: 'a' }
  const answer = { role: 'assistant', content: 'b' }
  it('tools with answers that are texts are refused in every form', () => {
    for (const tools of ['[{}]', 'x', { a: 1 }])
      expect(problemsOf({ prompt: 'a', chosen: 'b', rejected: 'c', tools })).toContain('"tools"')
  })
  it('ids of calls that are no texts are refused', () => {
    const use = { type: 'tool_use', id: 7, name: 'f', input: {} }
    const result = { type: 'tool_result', tool_use_id: true, content: 'r' }
    expect(problemsOf({ messages: [user, { role: 'assistant', content: [use] }] })).toContain(
      'message 2 a tool_use part has an "id" that is not a string',
    )
    expect(problemsOf({ messages: [{ role: 'user', content: [result] }, answer] })).toContain(
      'message 1 a tool_result part has a "tool_use_id" that is not a string',
    )
  })
  it('content of another type is refused next to calls too', () => {
    const call = { type: 'function', function: { name: 'f', arguments: {} } }
    const calling = { role: 'assistant', content: false, tool_calls: [call] }
    expect(problemsOf({ messages: [user, calling] })).toContain('message 2 (assistant) has content')
  })
  it('both forms of a message at once: the one that is not read is counted', () => {
    const both = readRows(
      createRawDataset(
        [
          {
            messages: [
              { ...user, value: 'x' },
              { ...answer, from: 'gpt' },
            ],
          },
        ],
        'data',
      ),
    )
    expect(both.summary.leftOut).toEqual({ 'messages[].from': 1, 'messages[].value': 1 })
  })
  it('messages after the last answer are counted', () => {
    const rows = [{ messages: [user, answer, { role: 'bot', content: 'c' }] }]
    const { summary } = readRows(createRawDataset(rows, 'data'))
    expect(summary.leftOut).toEqual({ 'messages[] after the last answer': 1 })
  })
  it('messages after the last answer are counted in lists of every format', () => {
    const last = { role: 'user', content: 'c' }
    for (const row of [
      { prompt: [user], completion: [answer, last] },
      { prompt: [user], chosen: [answer], rejected: [{ ...answer, content: 'd' }, last] },
    ])
      expect(leftOutOf(row)).toEqual({ 'messages[] after the last answer': 1 })
  })
  it("calls in addition to ShareGPT's calls are counted", () => {
    const called = { from: 'function_call', value: '{"name": "f"}', function_call: { name: 'g' } }
    const conversations = [{ from: 'human', value: 'a' }, called, { from: 'gpt', value: 'b' }]
    const { summary } = readRows(createRawDataset([{ conversations }], 'data'))
    expect(summary.leftOut).toEqual({ 'messages[].function_call': 1 })
  })
  it('a label that judges nothing is named', () => {
    const row = { prompt: 'a', completion: 'b' }
    const rows = [{ ...row, label: true }, { ...row, label: 'good' }, row]
    const { rows: read } = readRows(createRawDataset(rows, 'data'))
    expect(read.map(({ problems }) => problems.join())).toEqual([
      '',
      '"label" must be true or false, got "good"',
      '"label" must be true or false, got nothing',
    ])
  })
  it('tools count next to invalid functions, and need names', () => {
    const tool = { name: 'f', input_schema: {} }
    const { example } = readRows(
      createRawDataset([{ messages: [user, answer], tools: [tool], functions: '' }], 'data'),
    ).rows[0]!
    expect(example).toMatchObject({ tools: [{ function: { name: 'f' } }] })
    const nameless = { messages: [user, answer], tools: [tool, { ...tool, name: [] }] }
    expect(problemsOf(nameless)).toBe('"tools": tool 2 has no name that is a string')
  })
  it('a key that occurs twice is refused by row', () => {
    const twice = '{"prompt": "a", "completion": "b", "prompt": "c"}'
    const problem = '"prompt" appears twice in one object'
    expect(() => parseJsonl(`{"prompt": "a", "completion": "b"}\n${twice}`, 'data')).toThrow(
      `row 2: ${problem}`,
    )
    expect(() => parseJsonl(`[{"prompt": "a", "completion": "b"}, ${twice}]`, 'data')).toThrow(
      `row 2: ${problem}`,
    )
  })
  it('a key that is called __proto__ is counted', () => {
    const row = JSON.parse('{"prompt": "a", "completion": "b", "__proto__": "x"}') as object
    expect(Object.keys(leftOutOf(row)!)).toEqual(['__proto__'])
  })
  it('rows nested thousands of levels deep are refused', () => {
    const prompt = JSON.parse(`${'['.repeat(5000)}1${']'.repeat(5000)}`) as unknown
    expect(problemsOf({ prompt, completion: 'b' })).toBe('is nested more than 100 levels deep')
  })
})
