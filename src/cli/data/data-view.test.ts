import { describe, expect, it } from 'vitest'
import { characterTokenizer, chatTemplate } from '../../../test/support/train.ts'
import { createRawDataset } from '../../train/data/jsonl.ts'
import { createStyle } from '../ui/style.ts'
import { checkData, type DataCheck } from '../../train/datasets/check-data.ts'
import { describeSample, describeCheck } from './data-view.ts'

const encoding = { model: 'm', tokenizer: characterTokenizer(), chatTemplate, maxTokens: 1000 }
const plain = createStyle({}, {})
const check = (rows: object[], options: object = {}): DataCheck =>
  checkData(createRawDataset(rows, 'rows.jsonl'), { samples: 3, ...options })
const show = (found: DataCheck): string => describeCheck(found, plain).join('\n')
/** The texts of a check's samples with learned parts between marks. */
const markSamples = ({ samples }: DataCheck): string[] =>
  samples.map(({ spans }) =>
    spans.map(({ text, learned }) => (learned ? `⟦${text}⟧` : text)).join(''),
  )

const user = { role: 'user', content: 'hi' }
const assistant = { role: 'assistant', content: 'hello' }
const chat = { messages: [user, { ...assistant, weight: 0, name: 'x' }, user, assistant] }

describe('checkData', () => {
  it('tells learned turns from read ones, with and without a model', () => {
    expect(markSamples(check([chat]))).toEqual([
      'user: hi\nassistant: hello\nuser: hi\nassistant: ⟦hello⟧',
    ])
    const [text] = markSamples(check([chat], { encoding }))
    expect(text!.split('⟦')).toHaveLength(2)
    expect(text).toContain('⟦hello')
  })
  it('counts what is left out, with the reason', () => {
    const rows = [
      { ...chat, id: 1 },
      { messages: [user, assistant], weight: 0 },
      { messages: [user, { role: 'assistant', content: 'a\ud800' }] },
    ]
    const found = check(rows)
    expect(found).toMatchObject({
      format: 'messages',
      rows: 3,
      learnedRows: 2,
      weightlessRows: 1,
      leftOut: { id: 1 },
      templateKeys: { 'messages[].name': 1 },
      readOnlyTurns: 1,
      brokenText: 1,
    })
    expect(check(rows, { encoding }).leftOut).toEqual({ id: 1, 'messages[].name': 1 })
    for (const line of [
      'left out   1 row, because the weight is 0',
      'left out   "id" in 1 row, because nothing reads it',
      'only read  1 assistant turn, because the weight is 0',
      'broken     half a surrogate pair in 1 row, read as U+FFFD',
    ])
      expect(show(found)).toContain(line)
  })
  it('puts rows with the same problem in one line', () => {
    const found = check([
      { prompt: 'a', completion: 'b' },
      ...Array.from({ length: 7 }, () => ({ prompt: 'a', completion: '' })),
    ])
    expect(found.problems).toEqual([
      { problem: '"completion" is empty', rows: [2, 3, 4, 5, 6, 7, 8] },
    ])
    expect(show(found)).toContain('rows 2, 3, 4, 5, 6 and 2 more: "completion" is empty')
    expect(show(found)).toContain('7 rows; graft train refuses the whole file')
  })
  it('counts tokens as training does', () => {
    const row = { prompt: 'ab', completion: 'cde' }
    const { tokens } = check([row, row], { encoding: { ...encoding, chatTemplate: undefined } })
    expect(tokens).toMatchObject({ sequences: 2, total: 14, learned: 8, longest: 7, cut: 0 })
    const short = check([row, row], {
      encoding: { ...encoding, chatTemplate: undefined, maxTokens: 4 },
    })
    expect(short.tokens).toMatchObject({ sequences: 2, total: 8, longest: 4, cut: 2, dropped: 0 })
  })
  it('reports once that a model without a chat template cannot learn chats', () => {
    const found = check([chat, chat], { encoding: { ...encoding, chatTemplate: undefined } })
    expect(found).toMatchObject({ learnedRows: 0, refusedRows: 2, samples: [] })
    expect(found.problems).toHaveLength(1)
  })
  it('names both answers of a preference', () => {
    const found = check([{ prompt: 'a', chosen: 'b', rejected: 'c' }])
    expect(markSamples(found)).toEqual(['a⟦b⟧', 'a⟦c⟧'])
    expect(show(found)).toContain('row 1, rejected answer: to become less likely')
  })
})

describe('describeCheck', () => {
  it('shows control characters as codes, and cuts long rows with a count', () => {
    const text = `\u001b[31m${'x'.repeat(2000)}`
    const shown = show(check([{ text }]))
    expect(shown).toContain('⟦\\x1b[31mx')
    expect(shown).toContain('… 505 characters more; --json has all')
  })
  it('leaves out the line breaks with which a chat template ends, and blanks on empty lines', () => {
    const spans = [
      { text: 'user\n\nassistant ', learned: false },
      { text: 'abc', learned: true },
      { text: '\n\n', learned: false },
    ]
    const lines = describeSample({ row: 1, spans }, createStyle({ isTTY: false }, {}))
    expect(lines).toEqual(['', 'row 1', '  user', '', '  assistant ⟦abc⟧'])
  })
  it('colours learned text instead of marking it', () => {
    const lines = describeCheck(check([{ text: 'abc' }]), createStyle({ isTTY: true }, {}))
    expect(lines.at(-1)).toBe('  \u001b[32mabc\u001b[39m')
  })
})
