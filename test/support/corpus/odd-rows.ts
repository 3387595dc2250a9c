// Odd rows of every format: seeded mutations of sound ones, as people's files hold them. Each knows
// which text must be used, counted or refused, so that silence can be told. Independent of the code
// that reads them.

import { random, type Random } from '../../../src/base/random.ts'
import { call, nothings, oddKeys, oddNumbers, oddTexts, soundRows, user } from './sound-rows.ts'

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

const isTurn = (item: unknown): boolean =>
  typeof item === 'object' && item !== null && ('role' in item || 'from' in item)

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
    return {
      line: JSON.stringify(removeAt(row, path)),
      isHarmless: ['', null].includes(getAt(row, path) as null),
    }
  },
  'a key is misspelt'(row, draw) {
    const path = pickPath(row, draw, (_, at) => typeof at.at(-1) === 'string')
    const key = String(path.at(-1))
    const renamed = pickOne(
      [key.toUpperCase(), `${key}s`, `${key} `, key.slice(1), `_${key}`, `${key[0]}${key}`],
      draw,
    )
    const moved = setAt(removeAt(row, path), [...path.slice(0, -1), renamed], getAt(row, path))
    const isHarmless = getAt(row, path) === null
    return { line: JSON.stringify(moved), without: removeAt(row, path), isHarmless }
  },
  'a value of another type'(row, draw, mark) {
    const path = pickPath(row, draw)
    const value = pickOne(toOddValues(mark), draw)
    return { line: JSON.stringify(setAt(row, path, value)), without: removeAt(row, path) }
  },
  'a number or a truth value'(row, draw) {
    const path = pickPath(row, draw)
    const value = pickOne([0, 7, -1, 2.5, true, false], draw)
    // weights of messages and labels may be truth values or numbers: false is 0, true is 1
    const isFlag = ['weight', 'label'].includes(String(path.at(-1))) && Number(value) in [0, 1]
    const isHarmless = value === getAt(row, path) || isFlag
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
      // other names of the same role
      isHarmless:
        value === getAt(row, path) ||
        (value === 'model' && ['gpt', 'assistant'].includes(getAt(row, path) as string)) ||
        (value === 'tool' && ['observation', 'function'].includes(getAt(row, path) as string)),
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
  'a key twice'(row, draw, mark) {
    const path = pickPath(row, draw, (_, at) => typeof at.at(-1) === 'string')
    const key = JSON.stringify(String(path.at(-1)))
    const line = JSON.stringify(setAt(row, path, '@twice@'))
    const [first, second] =
      draw.integer(2) === 0 ? [`"${mark}"`, undefined] : [undefined, `"${mark}"`]
    const own = JSON.stringify(getAt(row, path))
    const twice = `${first ?? own},${key}:${second ?? own}`
    return { line: line.replace('"@twice@"', () => twice), without: row }
  },
  'a null within'(row, draw) {
    const parents = [...listPaths(row)].filter((path) => {
      const value = getAt(row, path)
      return typeof value === 'object' && value !== null
    })
    if (parents.length === 0)
      return { line: JSON.stringify({ ...row, list: [null] }), without: row }
    const path = pickOne(parents, draw)
    const parent = getAt(row, path)
    const holed = Array.isArray(parent)
      ? draw.integer(2) === 0
        ? [...parent, null]
        : [null, ...parent]
      : { ...(parent as object), [pickOne(Object.keys(parent as object), draw)]: null }
    // a key without a value says nothing, so what stood there is missing
    return { line: JSON.stringify(setAt(row, path, holed)), isHarmless: !Array.isArray(parent) }
  },
  'an empty turn'(row, draw) {
    const paths = [...listPaths(row)].filter((path) =>
      ['content', 'value', 'completion', 'prompt', 'chosen', 'rejected', 'output', 'text'].includes(
        String(path.at(-1)),
      ),
    )
    const path = pickOne(paths, draw)
    const value = pickOne(
      ['', ' ', '\n', null, [], [null], [''], [{ type: 'text', text: '' }]],
      draw,
    )
    // an empty value says as much as none, so the row without it is no measure
    const isHarmless = ['', null].includes(getAt(row, path) as null) // as before
    return { line: JSON.stringify(setAt(row, path, value)), isHarmless }
  },
  'turns in another order'(row, draw) {
    const lists = [...listPaths(row)].filter((path) => {
      const value = getAt(row, path)
      return Array.isArray(value) && value.every((item) => isTurn(item))
    })
    if (lists.length === 0) return { line: JSON.stringify(row), isHarmless: true }
    const path = pickOne(lists, draw)
    const list = getAt(row, path) as object[]
    const [first, last] = [list[0]!, list.at(-1)!]
    const forms: readonly object[][] = [
      [last, ...list],
      [...list, first],
      list.slice(1),
      list.slice(0, -1),
      [...list, ...list],
      [first, first, ...list.slice(1)],
      [...list, { ...first, ...('role' in first ? { role: 'system' } : { from: 'system' }) }],
    ]
    return { line: JSON.stringify(setAt(row, path, pickOne(forms, draw))) }
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

/** The odd rows of the corpus, the same each time. */
export function createOddRows(count = 2000, seed = 12): OddRow[] {
  const draw = random(seed)
  return Array.from({ length: count }, (_, i) => createOddRow(i, draw))
}
