import { describe, expect, it } from 'vitest'
import { DataError } from '../../base/errors.ts'
import { createRawDataset, parseJsonl } from './jsonl.ts'

describe('parseJsonl', () => {
  it('reads objects with their row numbers, past blank lines, a byte-order mark and Windows line ends', () => {
    const { name, rows } = parseJsonl('\uFEFF{"a":1}\r\n\r\n{"a":"\u2028"}\n', 'x.jsonl')
    expect(name).toBe('x.jsonl')
    expect(rows).toEqual([
      { number: 1, value: { a: 1 } },
      { number: 3, value: { a: '\u2028' } },
    ])
  })
  it('takes lines one by one', () => {
    expect(parseJsonl(['{"a":1}', '{"a":2}'], 'x').rows).toHaveLength(2)
  })
  it('reads one JSON array, also over several lines', () => {
    const rows = [
      { number: 1, value: { a: 1 } },
      { number: 2, value: { a: 2 } },
    ]
    expect(parseJsonl('[{"a":1},{"a":2}]', 'x').rows).toEqual(rows)
    expect(parseJsonl('\uFEFF[\n  {"a": 1},\n  {"a": 2}\n]\n', 'x').rows).toEqual(rows)
    expect(() => parseJsonl('[{"a":1},7]', 'x')).toThrow('row 2: got a number')
    expect(() => parseJsonl('[]', 'x')).toThrow('contains no rows')
  })
  it('keeps the text of numbers in chats, and only there', () => {
    const line =
      '{"messages":[{"role":"assistant","tool_calls":[{"function":{"name":"f","arguments":{"id":2512292042121000001,"ratio":1.0,"share":1e-5,"n":-3}}}]}],"weight":1.0}'
    for (const text of [line, `[${line}]`]) {
      const { value } = parseJsonl(text, 'x').rows[0]!
      expect(value['weight']).toBe(1)
      expect(JSON.stringify(value)).toContain(
        '{"id":2512292042121000001,"ratio":1.0,"share":1e-05,"n":-3}',
      )
    }
  })
  it('names the file and every bad row at once', () => {
    const read = (): unknown => parseJsonl('{"a":1}\n{oops}\n[1]\nnull\n7', 'bad.jsonl')
    expect(read).toThrow(DataError)
    expect(read).toThrow(
      /^bad\.jsonl: is not valid JSONL:\n {2}row 2: .+\n {2}row 3: got a list.+\n {2}row 4: got null.+\n {2}row 5: got a number/,
    )
  })
  it('shows eight bad rows and counts the others', () => {
    expect(() => parseJsonl('x\n'.repeat(20), 'bad')).toThrow('and 12 more rows')
  })
  it('refuses a file without rows', () => {
    expect(() => parseJsonl(' \n\n', 'empty.jsonl')).toThrow('empty.jsonl: contains no rows')
  })
  it('names the column of a mistake, and no line within the row', () =>
    expect(() => parseJsonl('{"a": 1}\n{"a": "b" ', 'bad.jsonl')).toThrow(
      /^bad\.jsonl: is not valid JSONL:\n {2}row 2: Expected ',' or '\}' after property value at column 11$/,
    ))
})

describe('createRawDataset', () => {
  it('numbers objects in memory, and refuses anything else', () => {
    expect(createRawDataset([{ text: 'a' }], 'rows').rows[0]).toEqual({
      number: 1,
      value: { text: 'a' },
    })
    expect(() => createRawDataset([{}, 3], 'rows')).toThrow('row 2: got a number')
    expect(() => createRawDataset([], 'rows')).toThrow(DataError)
  })
})
