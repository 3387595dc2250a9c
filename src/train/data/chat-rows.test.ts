// Chats as OpenAI, Anthropic, ShareGPT, TRL and Alpaca write them: how every part is used.

import { describe, expect, it } from 'vitest'
import { characterTokenizer, chatTemplate } from '../../../test/support/train.ts'
import { encodeData } from './encode.ts'
import { readRows } from './format-table.ts'
import { createRawDataset, parseJsonl } from './jsonl.ts'

const tokenizer = characterTokenizer()
const user = { role: 'user', content: 'Hi' }
const assistant = { role: 'assistant', content: 'Hello' }
const read = (row: object) => readRows(createRawDataset([row], 'data')).rows[0]!
const exampleOf = (row: object) => {
  const { example, problems } = read(row)
  expect(problems).toEqual([])
  return example
}
const problemsOf = (row: object): string => read(row).problems.join('; ')
const encode = (...rows: object[]) =>
  encodeData(createRawDataset(rows, 'data'), { tokenizer, chatTemplate, maxTokens: 1000 })
/** The texts that are learned, one for each run of labels. */
const learned = (...rows: object[]): string[] =>
  encode(...rows).rows.flatMap(({ ids, weights }) =>
    Array.from(ids, (id, t) => (weights[t]! > 0 ? tokenizer.decode([id]) : '\n'))
      .join('')
      .split('\n')
      .filter((text) => text !== ''),
  )

describe('content that is a list of parts', () => {
  const part = (text: string) => ({ type: 'text', text })
  it('is one text where all parts are text', () => {
    const messages = [
      { role: 'user', content: [part('Hi '), part('you')] },
      { role: 'assistant', content: [part('Hello')] },
    ]
    expect(exampleOf({ messages })).toEqual({
      kind: 'chat',
      messages: [{ role: 'user', content: 'Hi you' }, assistant],
    })
  })
  it('is refused by row and type where a part is not text', () => {
    const image = { type: 'image_url', image_url: { url: 'x.png' } }
    expect(problemsOf({ messages: [{ role: 'user', content: [image] }, assistant] })).toBe(
      'message 1 contains a part of type "image_url", and only text can be learned',
    )
  })
})

describe('flags of a message', () => {
  const wrong = { role: 'assistant', content: 'WRONG ANSWER' }
  const rest = [{ role: 'user', content: 'No' }, assistant]
  it.each([{ weight: 0 }, { train: false }, { training: false }])(
    '%j keep it unlearned',
    (flag) => {
      const row = { messages: [user, { ...wrong, ...flag }, ...rest] }
      expect(learned(row)).toEqual(['Hello<|im_end|>'])
      expect(encode(row).summary).toEqual({ leftOut: {}, readOnlyTurns: 1, brokenText: 0 })
    },
  )
  it('are refused where they are neither 0 nor 1, or ask to learn from a user', () => {
    expect(problemsOf({ messages: [user, { ...wrong, weight: 0.5 }, ...rest] })).toBe(
      'message 2 has "weight": 0.5, expected 0, 1, true or false',
    )
    expect(problemsOf({ messages: [{ ...user, train: true }, assistant] })).toContain(
      'message 1 (user) asks to be learned',
    )
    expect(problemsOf({ messages: [user, { ...wrong, weight: 1, train: false }] })).toContain(
      'flags that differ: "weight", "train"',
    )
  })
  it('leave out a row whose every turn has the weight 0, and count it', () => {
    const idle = { messages: [user, { ...wrong, weight: 0 }] }
    expect(encode(idle, { messages: [user, assistant] })).toMatchObject({ examples: 2, dropped: 1 })
    expect(() => encode(idle)).toThrow('every row has the weight 0')
  })
})

describe('tools and calls', () => {
  const tool = { type: 'function', function: { name: 'f', parameters: {} } }
  const messages = [user, assistant]
  it.each([
    ["OpenAI's form", { tools: [tool] }],
    ['JSON text', { tools: JSON.stringify([tool]) }],
    ["OpenAI's older form", { functions: [tool.function] }],
    ["Anthropic's form", { tools: [{ name: 'f', input_schema: {} }] }],
  ])('in %s become what templates know', (_, tools) => {
    expect(exampleOf({ messages, ...tools })).toEqual({ kind: 'chat', messages, tools: [tool] })
  })
  it('are counted as unused where the template does not show them', () => {
    expect(encode({ messages, tools: [tool] }).summary!.leftOut).toEqual({ tools: 1 })
  })
  it('read the older form of calls and their results', () => {
    const called = { name: 'f', arguments: '{"a": 1}' }
    const row = {
      messages: [
        user,
        { role: 'assistant', content: null, function_call: called },
        { role: 'function', name: 'f', content: '2' },
        assistant,
      ],
    }
    expect(exampleOf(row)).toEqual({
      kind: 'chat',
      messages: [
        user,
        { role: 'assistant', content: '', tool_calls: [{ type: 'function', function: called }] },
        { role: 'tool', name: 'f', content: '2' },
        assistant,
      ],
    })
  })
  it("read Anthropic's calls, results, thoughts and system message", () => {
    const row = {
      system: [{ type: 'text', text: 'Be kind.', cache_control: { type: 'ephemeral' } }],
      messages: [
        user,
        {
          role: 'assistant',
          content: [
            { type: 'thinking', thinking: 'hm', signature: 's' },
            { type: 'text', text: 'Wait.' },
            { type: 'tool_use', id: 't1', name: 'f', input: { a: 1 } },
          ],
        },
        {
          role: 'user',
          content: [{ type: 'tool_result', tool_use_id: 't1', content: '2', is_error: false }],
        },
        assistant,
      ],
    }
    const { example, leftOut } = read(row)
    expect(example).toEqual({
      kind: 'chat',
      messages: [
        { role: 'system', content: 'Be kind.' },
        user,
        {
          role: 'assistant',
          content: 'Wait.',
          tool_calls: [
            { id: 't1', type: 'function', function: { name: 'f', arguments: { a: 1 } } },
          ],
          reasoning_content: 'hm',
        },
        { role: 'tool', content: '2', tool_call_id: 't1' },
        assistant,
      ],
    })
    expect(leftOut.toSorted()).toEqual([
      'messages[].content[].cache_control',
      'messages[].content[].is_error',
      'messages[].content[].signature',
    ])
  })
  it('keep the text of numbers, in the prompt and in what is learned', () => {
    const line =
      '{"messages":[{"role":"user","content":"Find order 2512292042121000001"},{"role":"assistant","content":"","tool_calls":[{"type":"function","function":{"name":"find","arguments":{"order_id":2512292042121000001,"ratio":1.0}}}]}]}'
    const template =
      "{% for m in messages %}{{ '<s>' + m.role + '\\n' + (m.content or '') }}{% if m.tool_calls %}{% for c in m.tool_calls %}{{ '<call>' + (c.function.arguments | tojson) + '</call>' }}{% endfor %}{% endif %}{{ '</s>\\n' }}{% endfor %}{% if add_generation_prompt %}{{ '<s>assistant\\n' }}{% endif %}"
    const options = { tokenizer, chatTemplate: template, maxTokens: 1000 }
    const [only] = encodeData(parseJsonl(line, 'data'), options).rows
    const labels = [...only!.ids].filter((_, t) => only!.weights[t]! > 0)
    // as transformers 5.24 prints it
    expect(tokenizer.decode(labels)).toContain(
      '<call>{"order_id": 2512292042121000001, "ratio": 1.0}</call>',
    )
  })
  it('print arguments in the one form that the template takes', () => {
    const templateOf = (shown: string): string =>
      `{% for m in messages %}{{ m.role + ': ' + m.content }}{% for c in m.tool_calls or [] %}${shown}{% endfor %}{{ '\n' }}{% endfor %}{% if add_generation_prompt %}assistant: {% endif %}`
    const shownOf = (template: string, given: unknown): string => {
      const calls = [{ type: 'function', function: { name: 'f', arguments: given } }]
      const row = { messages: [user, { role: 'assistant', content: 'x', tool_calls: calls }] }
      const options = { tokenizer, chatTemplate: template, maxTokens: 1000 }
      const [only] = encodeData(createRawDataset([row], 'data'), options).rows
      return tokenizer.decode([...only!.ids])
    }
    for (const given of ['{"a": 1}', { a: 1 }]) {
      expect(shownOf(templateOf('{{ c.function.arguments | tojson }}'), given)).toContain(
        'assistant: x{"a": 1}',
      )
      expect(shownOf(templateOf("{{ '>' + c.function.arguments }}"), given)).toMatch(
        /assistant: x>\{"a": ?1\}/,
      )
    }
  })
})

describe('system messages beside the list', () => {
  it('come first, and are refused where there is another', () => {
    const system = { role: 'system', content: 'S' }
    expect(exampleOf({ system: 'S', messages: [user, assistant] })).toEqual({
      kind: 'chat',
      messages: [system, user, assistant],
    })
    expect(problemsOf({ system: 'T', messages: [system, user, assistant] })).toContain(
      '"system" and a system message are both given',
    )
  })
})

describe('turns that say nothing', () => {
  it('are refused as empty completions are, unless they are only read', () => {
    const empty = { role: 'assistant', content: '' }
    expect(problemsOf({ messages: [user, empty, user, assistant] })).toBe(
      'message 2 (assistant) is empty',
    )
    expect(problemsOf({ prompt: 'Hi', completion: '' })).toBe('"completion" is empty')
    expect(problemsOf({ prompt: [user], completion: [empty] })).toContain('is empty')
    expect(problemsOf({ messages: [user, { ...empty, weight: 0 }, user, assistant] })).toBe('')
  })
  it('are refused where the template trims them away', () => {
    const trimming = chatTemplate.replaceAll(/(\w+)(\.content|\['content'\])/g, '($1$2 | trim)')
    const row = { messages: [user, { role: 'assistant', content: ' \n' }] }
    expect(() =>
      encodeData(createRawDataset([row], 'data'), {
        tokenizer,
        chatTemplate: trimming,
        maxTokens: 1000,
      }),
    ).toThrow("row 1: The chat template shows nothing of an assistant's turn")
  })
})

describe('half a surrogate pair', () => {
  it('is counted', () => {
    expect(encode({ prompt: 'Lily \ud83d:', completion: ' saw \ude00.' }).summary).toMatchObject({
      brokenText: 1,
    })
    expect(encode({ prompt: '😀', completion: '😀' }).summary).toMatchObject({ brokenText: 0 })
  })
})

describe("ShareGPT's rows", () => {
  const say = (from: string, value: string) => ({ from, value })
  it('are chats', () => {
    const conversations = [say('system', 'Be kind.'), say('human', 'Hi'), say('gpt', 'Hello')]
    expect(readRows(createRawDataset([{ id: 'a', conversations }], 'data'))).toMatchObject({
      format: { name: 'sharegpt' },
      rows: [{ example: { messages: [{ role: 'system' }, user, assistant] }, leftOut: ['id'] }],
    })
    expect(learned({ conversations })).toEqual(['Hello<|im_end|>'])
  })
  it('heed weights, and read calls and tools as LLaMA-Factory writes them', () => {
    const row = {
      conversations: [
        say('human', 'Hi'),
        { ...say('gpt', 'No'), weight: 0 },
        say('function_call', '{"name": "f", "arguments": {"a": 1}}'),
        say('observation', '2'),
        say('gpt', 'Hello'),
      ],
      tools: '[{"name": "f", "parameters": {}}]',
    }
    expect(exampleOf(row)).toMatchObject({
      tools: [{ type: 'function', function: { name: 'f' } }],
      unlearned: [1],
      messages: [
        user,
        { content: 'No' },
        { tool_calls: [{ function: { name: 'f', arguments: { a: 1 } } }] },
        { role: 'tool', content: '2' },
        assistant,
      ],
    })
    const broken = { conversations: [say('human', 'Hi'), say('function_call', 'f()')] }
    expect(problemsOf(broken)).toBe(
      'message 2 is a "function_call" whose value is not JSON text with a name',
    )
  })
})

describe("TRL's rows", () => {
  it('may hold lists of messages as prompt and completion', () => {
    const row = { prompt: [user, assistant, user], completion: [assistant], system: 'S' }
    expect(exampleOf(row)).toMatchObject({ kind: 'chat', learnedFrom: 4 })
    expect(learned(row)).toEqual(['Hello<|im_end|>'])
    expect(problemsOf({ prompt: [user], completion: 'Hello' })).toBe(
      '"completion" must be a list of messages as the other one is',
    )
  })
  it('may hold a label, which makes an answer a judged one', () => {
    expect(exampleOf({ prompt: 'a', completion: 'b', label: false })).toEqual({
      kind: 'judged',
      answer: { kind: 'completion', prompt: 'a', completion: 'b' },
      isGood: false,
    })
    expect(problemsOf({ messages: [user, assistant], label: false })).toContain('"label" judges')
  })
})

describe("Alpaca's rows", () => {
  it('may hold a system message and earlier turns', () => {
    const row = { instruction: 'c', output: 'd', system: 'S', history: [['a', 'b']] }
    expect(exampleOf(row)).toEqual({
      kind: 'chat',
      messages: [
        { role: 'system', content: 'S' },
        { role: 'user', content: 'a' },
        { role: 'assistant', content: 'b' },
        { role: 'user', content: 'c' },
        { role: 'assistant', content: 'd' },
      ],
    })
    expect(problemsOf({ ...row, history: ['a'] })).toContain('must be a list of pairs of texts')
    expect(exampleOf({ ...row, history: [] })).toMatchObject({ kind: 'completion', system: 'S' })
  })
})
