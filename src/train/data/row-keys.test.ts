// One rule for every key of a row, in every format: it is used, refused by name, or counted.

import { describe, expect, it } from 'vitest'
import { characterTokenizer, chatTemplate } from '../../../test/support/train.ts'
import { encodeData } from './encode.ts'
import { dataFormats, readRows } from './format-table.ts'
import { createRawDataset } from './jsonl.ts'
import { refusedKeys } from './row-keys.ts'

const user = { role: 'user', content: [{ type: 'text', text: 'hi' }] }
const assistant = { role: 'assistant', content: 'hello' }
const call = { id: 'c', type: 'function', function: { name: 'f', arguments: { a: 1 } } }
const calling = { role: 'assistant', content: 'x', tool_calls: [call] }

/** A row of each format that holds every kind of part. */
const rows: Readonly<Record<string, object>> = {
  preference: { prompt: [user], chosen: [assistant], rejected: [calling] },
  contrastive: { anchor: 'a', positive: ['b', 'c'], negative: 'd', negative_1: 'e' },
  messages: {
    messages: [
      user,
      calling,
      { role: 'tool', content: '1', tool_call_id: 'c' },
      assistant,
      {
        role: 'user',
        content: [
          { type: 'tool_result', tool_use_id: 'c', content: [{ type: 'text', text: 'r' }] },
          { type: 'text', text: 't' },
        ],
      },
      {
        role: 'assistant',
        content: [
          { type: 'thinking', thinking: 'hm' },
          { type: 'text', text: 'call' },
          { type: 'tool_use', id: 'd', name: 'f', input: {} },
        ],
      },
    ],
    tools: [{ name: 'f', input_schema: {} }],
    system: [{ type: 'text', text: 's' }],
  },
  sharegpt: {
    conversations: [
      { from: 'human', value: 'hi' },
      { from: 'gpt', value: 'hello' },
    ],
  },
  graded: { prompt: [user], completion: [assistant], reward: 0.5 },
  judged: { prompt: [user], completion: [assistant], label: true },
  'prompt-completion': { prompt: [user], completion: [assistant] },
  instruction: { instruction: 'a', input: 'b', output: 'c', system: 's', history: [['d', 'e']] },
  text: { text: 'a' },
}

/**
 * Copies of a value, each with one more key in one of its objects; parameters of tools are free.
 */
function* insertKey(value: unknown, key: string, path = ''): Generator<[string, unknown]> {
  if (typeof value !== 'object' || value === null) return
  if (/arguments$|input$|input_schema$|\.function$/.test(path)) return
  const list = Array.isArray(value)
  if (!list) yield [`${path}.${key}`, { ...value, [key]: 'x' }]
  for (const [name, item] of Object.entries(value))
    for (const [at, changed] of insertKey(item, key, `${path}.${list ? '' : name}`)) {
      if (list) yield [at, value.map((one, i) => (String(i) === name ? changed : one))]
      else yield [at, { ...value, [name]: changed }]
    }
}

const tokenizer = characterTokenizer()

describe.each([...dataFormats.keys()])('%s', (name) => {
  const given = rows[name]!
  const read = (row: object) => readRows(createRawDataset([row], 'data')).rows[0]!

  /** What is said of a row: its problems, or the keys that its summary counts. */
  const tellOf = (row: unknown): string => {
    const data = createRawDataset([row], 'data')
    const problems = read(row as object).problems.join()
    if (problems !== '') return problems
    const { summary } = encodeData(data, { tokenizer, chatTemplate, maxTokens: 1000 })
    return Object.keys(summary!.leftOut).join()
  }

  it('is read from a row without unknown keys', () => {
    expect(readRows(createRawDataset([given], 'data')).format.name).toBe(name)
    expect(read(given)).toMatchObject({ problems: [], leftOut: [] })
  })
  it('never ignores an unknown key silently, at any position', () => {
    const changed = [...insertKey(given, 'surprise')]
    expect(changed.length).toBeGreaterThan(0)
    for (const [path, row] of changed) expect(tellOf(row), path).toContain('surprise')
  })
  it('uses every key that it names, or refuses the row', () => {
    const { example } = read(given)
    const readOrNothing = (row: object): unknown => {
      try {
        return read(row).example
      } catch {
        return undefined // of no known format
      }
    }
    for (const key of Object.keys(given)) {
      const { [key]: _, ...others } = given as Record<string, unknown>
      expect(readOrNothing(others), key).not.toEqual(example)
    }
  })
  it('refuses by name what would change the meaning of a row', () => {
    const { keys } = dataFormats.get(name)!
    for (const key of [...refusedKeys.keys()].filter((one) => !keys.has(one)))
      expect(read({ ...given, [key]: ['x'] }).problems.join(), key).toContain(`"${key}"`)
  })
  it('passes over keys without a value, as tables give them', () => {
    expect(read({ ...given, surprise: null, images: [], labels: null })).toMatchObject({
      problems: [],
      leftOut: [],
    })
  })
})

describe('a row of text', () => {
  it('reports which key is in the way, and why', () => {
    const row = { text: 'Once upon a time.', category: 'story', __index_level_0__: 3 }
    expect(read([row])).toBe(
      'data: rows are not of the format "text", { "text": "…" }:\n  row 1: "category" could be an answer, but only "text" would be learned. Remove it, or give prompt and completion',
    )
  })
  const read = (list: object[]): string => {
    try {
      encodeData(createRawDataset(list, 'data'), { tokenizer, maxTokens: 10 })
      return ''
    } catch (error) {
      return (error as Error).message
    }
  }
})
