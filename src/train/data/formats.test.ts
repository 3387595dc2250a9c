import { describe, expect, it } from 'vitest'
import { DataError } from '../../base/errors.ts'
import { detectFormat, readExamples } from './format-table.ts'
import { createRawDataset } from './jsonl.ts'

const examplesOf = (...rows: object[]) =>
  readExamples(createRawDataset(rows, 'data.jsonl')).examples.map(({ example }) => example)
const user = { role: 'user', content: 'hi' }
const assistant = { role: 'assistant', content: 'hello' }

describe('data formats', () => {
  it('are detected by the first row', () => {
    const format = (row: object): string => detectFormat(createRawDataset([row], 'x')).name
    expect(format({ messages: [user, assistant], id: 7 })).toBe('messages')
    expect(format({ prompt: 'a', completion: 'b' })).toBe('prompt-completion')
    expect(format({ instruction: 'a', output: 'b' })).toBe('instruction')
    expect(format({ text: 'a', source: 'book' })).toBe('text')
    expect(format({ prompt: 'a', chosen: 'b', rejected: 'c' })).toBe('preference')
  })
  it('say what keys an unknown row has, and what rows may be', () => {
    expect(() =>
      detectFormat(createRawDataset([{ question: 'a', answer: 'b' }], 'q.jsonl')),
    ).toThrow(
      /^q\.jsonl: row 1 is of no known format; its keys are question, answer\. Did you mean prompt in place of question, and completion in place of answer\? Rows may be:\n {2}messages: .*\n {2}prompt-completion: .*\n {2}instruction: .*\n {2}text: .*\n {2}also preference, contrastive, sharegpt, judged, graded, shown in docs\/data\.md\.?$/,
    )
  })
  it.each([
    [{ promt: 'a', completion: 'b' }, 'Did you mean prompt in place of promt?'],
    [{ prompt: 'a', output: 'b' }, 'Did you mean completion in place of output?'],
    [
      { question: 'a', label: 'b' },
      'Did you mean prompt in place of question, and completion in place of label?',
    ],
    [{ message: [user, assistant] }, 'Did you mean messages in place of message?'],
    [{ prompt: 'a', choosen: 'b', rejected: 'c' }, 'Did you mean chosen in place of choosen?'],
    [{ a: 'x', b: 'y' }, 'its keys are a, b. Rows may be:'],
  ])('say which names %j was probably meant to have', (row, problem) => {
    expect(() => detectFormat(createRawDataset([row], 'x'))).toThrow(problem)
  })
  it('say which name a later row was probably meant to have', () => {
    const rows = [
      { prompt: 'a', completion: 'b' },
      { promt: 'a', completion: 'b' },
    ]
    expect(() => examplesOf(...rows)).toThrow(
      'row 2: its keys are promt, completion. Did you mean prompt in place of promt?',
    )
  })
  it('never use the text of a row whose answer is under another key', () => {
    expect(() => detectFormat(createRawDataset([{ text: 'play jazz', json: {} }], 'x'))).toThrow(
      DataError,
    )
  })
  it('name every row that is not like the first, with its keys', () => {
    const rows = [{ text: 'a' }, { prompt: 'a', completion: 'b' }, { text: '' }, { text: 5 }]
    expect(() => examplesOf(...rows)).toThrow(
      'data.jsonl: rows are not of the format "text", { "text": "…" }:\n  row 2: its keys are prompt, completion\n  row 3: "text" is empty\n  row 4: "text" must be a string, got 5',
    )
  })
})

describe('chat rows', () => {
  it('keep messages and tools', () => {
    expect(examplesOf({ messages: [user, assistant], tools: [{ type: 'function' }] })).toEqual([
      { kind: 'chat', messages: [user, assistant], tools: [{ type: 'function' }] },
    ])
  })
  it.each([
    [[], 'must be a list of messages'],
    [[user], 'nothing to learn'],
    [[assistant], 'the first message is the assistant'],
    [[user, { role: 'assistant' }], 'message 2 (assistant) has no content'],
    [[user, { content: 'x' }, 3], 'message 2 has no role, message 3 is not an object'],
  ])('refuse %j', (messages, problem) => {
    expect(() => examplesOf({ messages })).toThrow(problem)
  })
  it('accept an assistant that only calls tools', () => {
    expect(
      examplesOf({ messages: [user, { role: 'assistant', content: null, tool_calls: [{}] }] }),
    ).toHaveLength(1)
  })
})

describe('pairs', () => {
  it('keep a system message of their own', () => {
    expect(examplesOf({ prompt: '', completion: 'b', system: 's' })).toEqual([
      { kind: 'completion', prompt: '', completion: 'b', system: 's' },
    ])
  })
  it('need something to learn', () => {
    expect(() => examplesOf({ prompt: 'a', completion: '' })).toThrow(
      'row 1: "completion" is empty',
    )
    expect(() => examplesOf({ prompt: null, completion: 'a' })).toThrow(
      'row 1: "prompt" must be a string, got null',
    )
    expect(() => examplesOf({ prompt: 'a', completion: { b: 1 } })).toThrow(
      'row 1: "completion" must be a string, got {"b":1}; give JSON as a text, as JSON.stringify writes it',
    )
  })
  it('read instructions as Alpaca wrote them', () => {
    const [bare, full] = examplesOf(
      { instruction: 'Add.', input: '', output: '3' },
      { instruction: 'Add.', input: '1 2', output: '3' },
    )
    expect(bare).toMatchObject({ kind: 'completion', prompt: 'Add.', completion: '3' })
    expect(full).toMatchObject({ prompt: 'Add.\n1 2', completion: '3' })
    expect(full).toHaveProperty(
      'plainPrompt',
      expect.stringMatching(/^Below is an instruction.*### Input:\n1 2\n\n### Response:$/s),
    )
    expect(bare).toHaveProperty('plainPrompt', expect.not.stringContaining('### Input'))
  })
})

describe('preferences', () => {
  const better = { role: 'assistant', content: 'yes' }
  const worse = { role: 'assistant', content: 'no' }
  it('are two completions of one prompt', () => {
    expect(examplesOf({ prompt: 'p', chosen: 'c', rejected: 'r', system: 's' })).toEqual([
      {
        kind: 'pair',
        chosen: { kind: 'completion', prompt: 'p', completion: 'c', system: 's' },
        rejected: { kind: 'completion', prompt: 'p', completion: 'r', system: 's' },
      },
    ])
  })
  it('may be messages: turns of the prompt are read, not learned', () => {
    const prompt = [user, assistant, user]
    const pair = {
      kind: 'pair',
      chosen: { kind: 'chat', messages: [...prompt, better], learnedFrom: 3 },
      rejected: { kind: 'chat', messages: [...prompt, worse], learnedFrom: 3 },
    }
    expect(examplesOf({ prompt, chosen: [better], rejected: [worse] })).toEqual([pair])
    const whole = { chosen: [...prompt, better], rejected: [...prompt, worse] }
    expect(examplesOf(whole)).toEqual([pair])
    expect(examplesOf({ prompt: 'hi', ...whole })).toEqual([pair])
  })
  it.each([
    [{ prompt: 'p', chosen: 'c', rejected: 'c' }, 'are the same'],
    [{ chosen: 'c', rejected: 'r' }, '"prompt" must be a string, got nothing'],
    [{ prompt: 'p', chosen: 'c', rejected: '' }, '"rejected" is empty'],
    [{ prompt: [user], chosen: [better], rejected: 'r' }, '"rejected" must be a list of messages'],
    [{ prompt: [user], chosen: [better], rejected: [3] }, '"rejected": message 1 is not an object'],
    [
      { prompt: [user], chosen: [better], rejected: [user] },
      '"rejected" has no own assistant turn',
    ],
    [{ chosen: [better], rejected: [worse] }, "the first message is the assistant's own"],
  ])('refuse %j', (row, problem) => {
    expect(() => examplesOf(row)).toThrow(problem)
  })
})

describe("a row's weight", () => {
  const weightsOf = (...rows: object[]) =>
    readExamples(createRawDataset(rows, 'data.jsonl')).examples.map(({ weight }) => weight)

  it('is read from "weight" or "quality", in every format', () => {
    expect(
      weightsOf(
        { text: 'a' },
        { text: 'b', weight: 0.5 },
        { text: 'c', quality: 0 },
        { text: 'd', weight: null },
      ),
    ).toEqual([1, 0.5, 0, 1])
    expect(weightsOf({ prompt: 'a', completion: 'b', quality: 0.25 })).toEqual([0.25])
    expect(weightsOf({ messages: [user, assistant], weight: 1, quality: 1 })).toEqual([1])
  })
  it('is refused if it is invalid, for all rows at once', () => {
    const rows = [
      { text: 'a', weight: 2 },
      { text: 'b', quality: 'high' },
      { text: 'c', weight: 0.1, quality: 0.2 },
      { text: '', weight: -1 },
    ]
    expect(() => weightsOf(...rows)).toThrow(
      /row 1: "weight" must be a number from 0 to 1, got 2\n.*row 2: "quality" must be.*got "high"\n.*row 3: .*two names of one thing.*\n.*row 4: "text" is empty\n.*row 4: "weight"/,
    )
    expect(() => weightsOf({ text: 'a', weight: 0 })).toThrow('every row has the weight 0')
  })
})
