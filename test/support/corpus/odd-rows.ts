// Odd rows of every format: seeded mutations of sound ones, as people's files hold them. Each knows
// which text must be used, counted or refused, so that silence can be told. Independent of the code
// that reads them.

import type { Random } from '../../../src/base/random.ts'

type Json = unknown
type Path = readonly (string | number)[]

export interface OddRow {
  readonly number: number
  readonly format: string
  /** The kind of change. */
  readonly mutation: string
  /** The line of the file. */
  readonly line: string
  /** The row before the change. */
  readonly sound: Readonly<Record<string, unknown>>
  /** The row with what was changed taken out; undefined where nothing was put in. */
  readonly without?: Readonly<Record<string, unknown>> | undefined
  /** Text that must be in what is learned or read, where the row is not refused or counted. */
  readonly mustShow?: string
  /** The change may have no effect: the value says nothing, or it is another form of the same. */
  readonly isHarmless?: boolean
}

const user = { role: 'user', content: 'alpha' }
const assistant = { role: 'assistant', content: 'beta' }
const call = {
  id: 'c1',
  type: 'function',
  function: { name: 'look', arguments: { place: 'here', size: 12 } },
}
const tool = {
  type: 'function',
  function: { name: 'look', description: 'sees', parameters: { type: 'object', properties: {} } },
}

/** Sound rows by the name of their format. */
export const soundRows: readonly (readonly [string, Readonly<Record<string, unknown>>])[] = [
  ['messages', { messages: [{ role: 'system', content: 'rules' }, user, assistant] }],
  ['messages', { messages: [user, assistant, { ...user, content: 'gamma' }, assistant] }],
  [
    'messages',
    {
      messages: [
        user,
        { role: 'assistant', content: '', tool_calls: [call] },
        { role: 'tool', tool_call_id: 'c1', content: 'seen' },
        assistant,
      ],
      tools: [tool],
    },
  ],
  [
    'messages',
    {
      system: 'rules',
      messages: [
        { role: 'user', content: [{ type: 'text', text: 'alpha' }] },
        {
          role: 'assistant',
          content: [
            { type: 'text', text: 'beta' },
            { type: 'tool_use', id: 'c1', name: 'look', input: { place: 'here' } },
          ],
        },
        { role: 'user', content: [{ type: 'tool_result', tool_use_id: 'c1', content: 'seen' }] },
        assistant,
      ],
    },
  ],
  [
    'sharegpt',
    {
      conversations: [
        { from: 'human', value: 'alpha' },
        { from: 'gpt', value: 'beta' },
      ],
      system: 'rules',
    },
  ],
  ['prompt-completion', { prompt: 'alpha', completion: 'beta', system: 'rules' }],
  ['prompt-completion', { prompt: [user], completion: [assistant], weight: 0.5 }],
  ['judged', { prompt: 'alpha', completion: 'beta', label: true }],
  ['preference', { prompt: 'alpha', chosen: 'beta', rejected: 'gamma' }],
  [
    'preference',
    { prompt: [user], chosen: [assistant], rejected: [{ role: 'assistant', content: 'gamma' }] },
  ],
  ['instruction', { instruction: 'alpha', input: 'delta', output: 'beta' }],
  [
    'instruction',
    { instruction: 'alpha', output: 'beta', system: 'rules', history: [['gamma', 'delta']] },
  ],
  ['text', { text: 'alpha beta' }],
]

/** Keys that people's rows hold, names of Object's own members among them. */
const oddKeys = [
  ...['name', 'id', 'images', 'image', 'audio', 'weight', 'quality', 'train', 'training', 'loss'],
  ...['system', 'tools', 'functions', 'history', 'labels', 'input_ids', 'attention_mask', 'label'],
  ...['metadata', 'category', 'source', 'score', 'reasoning', 'reasoning_content', 'thinking'],
  ...['tool_calls', 'function_call', 'tool_call_id', 'cache_control', 'citations', 'refusal'],
  ...['documents', 'chat_template', 'chat_template_kwargs', 'kto_tag', 'prefix', 'text', 'input'],
  ...['__proto__', 'constructor', 'toString', 'hasOwnProperty', '', ' ', 'ключ', '🔑', 'a.b', '0'],
  ...['__index_level_0__', 'url', 'date', 'content', 'value', 'response', 'answer', 'question'],
]

const oddTexts = [
  ...['😀👩‍👩‍👧', 'مرحبا بالعالم', 'e\u0301\u0323', '\u0000', '\ufeff', '\u200b\u200d', '\u2028'],
  ...['<|im_end|>', '<s>', '{{ messages }}', '{% raw %}', '\\u0041', '</script>', '\'"`$'],
  ...['\ud83d', 'x\udc00y', '\r\n', '\t', '𝕏', 'ﷺ', '\u001b[31m', 'NaN', 'null', '[object Object]'],
]

/** Numbers as files hold them, and as Python's json module prints them again. */
const oddNumbers: readonly (readonly [string, string])[] = [
  ['2512292042121000001', '2512292042121000001'],
  ['123456789012345678901234567890', '123456789012345678901234567890'],
  ['-9223372036854775809', '-9223372036854775809'],
  ['1.0', '1.0'],
  ['1E+2', '100.0'],
  ['1e-400', '0.0'],
  ['0.1000000000000000055511151231257827', '0.1'],
  ['0.30000000000000004', '0.30000000000000004'],
]

const nothings: readonly Json[] = [null, [], '']

/** Every place in a value, the top left out. */
function* listPaths(value: Json, path: Path = []): Generator<Path> {
  if (typeof value !== 'object' || value === null) return
  for (const key of Array.isArray(value) ? value.keys() : Object.keys(value)) {
    const at = [...path, key]
    yield at
    yield* listPaths((value as Record<string | number, Json>)[key], at)
  }
}

const getAt = (value: Json, path: Path): Json =>
  path.reduce<Json>((at, key) => (at as Record<string | number, Json>)[key], value)

/** An own key whatever its name; assignment of '__proto__' would make none. */
function setKey(target: object, key: string | number, value: Json): void {
  Object.defineProperty(target, key, {
    value,
    enumerable: true,
    writable: true,
    configurable: true,
  })
}

/** A deep copy, changed at one place by `change`. */
function changeAt(
  row: Readonly<Record<string, unknown>>,
  path: Path,
  change: (parent: Record<string | number, Json>, key: string | number) => void,
): Record<string, unknown> {
  const copy = structuredClone(row) as Record<string, unknown>
  change(getAt(copy, path.slice(0, -1)) as Record<string | number, Json>, path.at(-1)!)
  return copy
}

const setAt = (row: Readonly<Record<string, unknown>>, path: Path, value: Json) =>
  changeAt(row, path, (parent, key) => setKey(parent, key, value))

const removeAt = (row: Readonly<Record<string, unknown>>, path: Path) =>
  changeAt(row, path, (parent, key) => {
    if (Array.isArray(parent)) parent.splice(key as number, 1)
    else delete parent[key]
  })

type Change = Omit<OddRow, 'number' | 'format' | 'sound' | 'mutation'>

type Mutate = (row: Readonly<Record<string, unknown>>, draw: Random, mark: string) => Change

const pickOne = <Item>(items: readonly Item[], draw: Random): Item =>
  items[draw.integer(items.length)]!

function pickPath(
  row: Json,
  draw: Random,
  fits: (value: Json, path: Path) => boolean = () => true,
): Path {
  const paths = [...listPaths(row)].filter((path) => fits(getAt(row, path), path))
  return pickOne(paths, draw)
}

/** Values that people put where another belongs; the mark is in each that can hold one. */
const toOddValues = (mark: string): readonly Json[] => [
  mark,
  [mark],
  { [mark]: mark },
  [[mark]],
  [{ type: 'text', text: mark }],
  [{ type: 'image_url', image_url: { url: mark } }],
  { text: mark },
  [{ role: 'user', content: mark }],
  [null, mark],
]

const mutations: Readonly<Record<string, Mutate>> = {
  'a further key'(row, draw, mark) {
    const parents: Path[] = [
      [],
      ...[...listPaths(row)].filter((path) => {
        const value = getAt(row, path)
        return typeof value === 'object' && value !== null && !Array.isArray(value)
      }),
    ]
    const parent = pickOne(parents, draw)
    const free = oddKeys.filter((key) => !Object.hasOwn(getAt(row, parent) as object, key))
    const key = pickOne(free, draw)
    const value = pickOne([mark, [mark], { [mark]: 1 }, mark], draw)
    return {
      line: JSON.stringify(setAt(row, [...parent, key], value)),
      without: row,
    }
  },
  'a further key without a value'(row, draw) {
    const path = [
      pickOne(
        oddKeys.filter((key) => !(key in row)),
        draw,
      ),
    ]
    return { line: JSON.stringify(setAt(row, path, pickOne(nothings, draw))), isHarmless: true }
  },
  'a key is missing'(row, draw) {
    const path = pickPath(row, draw)
    return { line: JSON.stringify(removeAt(row, path)), isHarmless: getAt(row, path) === '' }
  },
  'a key is misspelt'(row, draw) {
    const path = pickPath(row, draw, (_, at) => typeof at.at(-1) === 'string')
    const key = String(path.at(-1))
    const renamed = pickOne(
      [key.toUpperCase(), `${key}s`, `${key} `, key.slice(1), `_${key}`, `${key[0]}${key}`],
      draw,
    )
    const moved = setAt(removeAt(row, path), [...path.slice(0, -1), renamed], getAt(row, path))
    return { line: JSON.stringify(moved), without: removeAt(row, path) }
  },
  'a value of another type'(row, draw, mark) {
    const path = pickPath(row, draw)
    const value = pickOne(toOddValues(mark), draw)
    return { line: JSON.stringify(setAt(row, path, value)), without: removeAt(row, path) }
  },
  'a number or a truth value'(row, draw) {
    const path = pickPath(row, draw)
    const value = pickOne([0, 7, -1, 2.5, true, false], draw)
    const isHarmless = value === getAt(row, path)
    return {
      line: JSON.stringify(setAt(row, path, value)),
      without: removeAt(row, path),
      isHarmless,
    }
  },
  'a value is empty'(row, draw) {
    const path = pickPath(row, draw)
    return {
      line: JSON.stringify(setAt(row, path, pickOne([...nothings, {}], draw))),
      isHarmless: true,
    }
  },
  'odd characters'(row, draw, mark) {
    const path = pickPath(row, draw, (value) => typeof value === 'string')
    const text = `${mark}${pickOne(oddTexts, draw)}`
    return { line: JSON.stringify(setAt(row, path, text)), mustShow: mark }
  },
  'white space'(row, draw) {
    const path = pickPath(row, draw, (value) => typeof value === 'string')
    const value = pickOne([' ', '\n', ' \t\n', '\u00a0', '\u3000'], draw)
    return { line: JSON.stringify(setAt(row, path, value)), without: removeAt(row, path) }
  },
  'a very long text'(row, draw, mark) {
    const path = pickPath(row, draw, (value) => typeof value === 'string')
    return { line: JSON.stringify(setAt(row, path, mark + 'long '.repeat(1500))), mustShow: mark }
  },
  'a number with many digits'(row, draw) {
    const [text, shown] = pickOne(oddNumbers, draw)
    const withCall = {
      messages: [user, { role: 'assistant', content: '', tool_calls: [call] }],
    }
    const isCall = draw.integer(2) === 0
    const path = isCall
      ? ['messages', 1, 'tool_calls', 0, 'function', 'arguments', 'size']
      : pickPath(row, draw)
    const changed = setAt(isCall ? withCall : row, path, '@number@')
    // a weight is rounded as all numbers are; 1.0 is a label as 1 is
    const isHarmless = path[0] === 'weight' || path[0] === 'label'
    const line = JSON.stringify(changed).replace('"@number@"', text)
    return { line, mustShow: shown, isHarmless }
  },
  'deeply nested'(row, draw, mark) {
    const path = pickPath(row, draw)
    const depth = pickOne([3, 40, 3000], draw)
    const line = JSON.stringify(setAt(row, path, '@deep@'))
    const deep = `${'['.repeat(depth)}"${mark}"${']'.repeat(depth)}`
    return { line: line.replace('"@deep@"', deep), without: removeAt(row, path) }
  },
  'two formats in one row'(row, draw, mark) {
    const [, other] = pickOne(soundRows, draw)
    const marked = JSON.parse(
      JSON.stringify(other).replaceAll(/alpha|beta|gamma|delta/g, mark),
    ) as Record<string, unknown>
    const added = Object.fromEntries(Object.entries(marked).filter(([key]) => !(key in row)))
    const isHarmless = Object.keys(added).length === 0 || !JSON.stringify(added).includes(mark)
    return { line: JSON.stringify({ ...row, ...added }), without: row, isHarmless }
  },
  'a row of another format'(_row, draw) {
    const [, other] = pickOne(soundRows, draw)
    return { line: JSON.stringify(other), isHarmless: true }
  },
  'an odd role or kind of part'(row, draw, mark) {
    const names = new Set(['role', 'from', 'type', 'label', 'weight'])
    const paths = [...listPaths(row)].filter((path) => names.has(String(path.at(-1))))
    if (paths.length === 0) return { line: JSON.stringify({ ...row, role: mark }), without: row }
    const odd = ['User', 'bot', 'model', 'tool', 'ipython', 'constructor', '__proto__', 'valueOf']
    const path = pickOne(paths, draw)
    const value = pickOne(odd, draw)
    return {
      line: JSON.stringify(setAt(row, path, value)),
      // "model" is one of ShareGPT's names of the assistant
      isHarmless: value === 'model' && getAt(row, path) === 'gpt',
    }
  },
  'an item twice, or in another order'(row, draw) {
    const lists = [...listPaths(row)].filter((path) => Array.isArray(getAt(row, path)))
    if (lists.length === 0) return { line: JSON.stringify(row), isHarmless: true }
    const path = pickOne(lists, draw)
    const list = getAt(row, path) as unknown[]
    const changed = draw.integer(2) === 0 ? [...list, list.at(-1)] : list.toReversed()
    return {
      line: JSON.stringify(setAt(row, path, changed)),
      // chat templates show a message's text before its calls, in whichever order they stand
      isHarmless: changed.length === list.length && (list.length < 2 || path.at(-1) === 'content'),
    }
  },
  'an odd weight'(row, draw) {
    const value = pickOne([-1, 2, '1', 'high', true, [], {}, [1], 1e300, 0.5, 0], draw)
    const key = pickOne(['weight', 'quality'], draw)
    const isEmpty = Array.isArray(value) && value.length === 0
    const isHarmless = isEmpty || value === row['weight'] // "quality" is another name of "weight"
    return { line: JSON.stringify({ ...row, [key]: value }), without: row, isHarmless }
  },
  'no JSON object'(row, draw, mark) {
    const line = JSON.stringify(row)
    const lines = [
      ...[line.slice(0, -1), line.slice(1), `${line},`, `[${line}]`, `${line}${line}`, mark],
      ...[line.replaceAll('"', "'"), `"${mark}"`, '7', 'null', 'true', `// ${mark}`, '{', '[]'],
      ...[line.replace(':', ': NaN, "x":'), line.replace('{', '{,'), `${line.slice(0, -1)},}`],
    ]
    return { line: pickOne(lines, draw) }
  },
}

export const rowMutations: readonly string[] = Object.keys(mutations)

/** The odd row of this number; the same generator state gives the same row. */
export function createOddRow(number: number, draw: Random): OddRow {
  const [format, sound] = soundRows[draw.integer(soundRows.length)]!
  const mutation = rowMutations[number % rowMutations.length]!
  const mark = `zq${number}x`
  const change = mutations[mutation]!(sound, draw, mark)
  return Object.assign({ number, format, mutation, sound }, change)
}
