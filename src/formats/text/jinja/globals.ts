// The functions that every template has.

import { bindArguments, readInteger } from './arguments.ts'
import { toText } from './show.ts'
import {
  Callable,
  isDict,
  listItems,
  makeView,
  type NamedValues,
  Namespace,
  setInNamespace,
  TemplateError,
} from './values.ts'

/** The most items that transformers' sandbox lets a range have. */
const longestRange = 100_000

/** Python's range(stop) or range(start, stop, step). */
function listRange(args: readonly unknown[]): unknown {
  const [first, second] = args
  const start = args.length < 2 ? 0 : readInteger('range', first, 0)
  const stop = readInteger('range', args.length < 2 ? first : second, 0)
  const step = readInteger('range', args[2], 1)
  if (args.length === 0 || args.length > 3)
    throw new TemplateError(`range expected 1 to 3 arguments, got ${args.length}`)
  if (step === 0) throw new TemplateError('range() arg 3 must not be zero')
  const length = Math.max(0, Math.ceil((stop - start) / step))
  if (length > longestRange) throw new TemplateError(`Range too big: ${length} items`)
  const items = Array.from({ length }, (_, i) => start + i * step)
  const shownStep = step === 1 ? '' : `, ${step}`
  return makeView(items, () => `range(${start}, ${stop}${shownStep})`)
}

/** Python's dict(pairs or mapping, name=value). */
function makeDict(args: readonly unknown[], named: NamedValues): Map<unknown, unknown> {
  const [source] = bindArguments('dict', ['source'], args, new Map())
  const pairs = isDict(source)
    ? [...source]
    : source === undefined
      ? []
      : listItems(source).map((pair) => listItems(pair) as [unknown, unknown])
  return new Map<unknown, unknown>([...pairs, ...named])
}

function makeNamespace(args: readonly unknown[], named: NamedValues): Namespace {
  const namespace = new Namespace(new Map())
  for (const [name, value] of makeDict(args, named)) setInNamespace(namespace, toText(name), value)
  return namespace
}

const createJoiner = (args: readonly unknown[], named: NamedValues): Callable => {
  const [separator = ', '] = bindArguments('joiner', ['sep'], args, named)
  let isUsed = false
  return new Callable('joiner', () => {
    const text = isUsed ? separator : ''
    isUsed = true
    return text
  })
}

export const templateFunctions: ReadonlyMap<string, unknown> = new Map(
  [
    new Callable('range', listRange),
    new Callable('dict', makeDict),
    new Callable('joiner', createJoiner),
    new Callable('namespace', makeNamespace),
    new Callable('raise_exception', (args, named) => {
      const [message] = bindArguments('raise_exception', ['message'], args, named)
      throw new TemplateError(toText(message))
    }),
  ].map((made) => [made.name, made]),
)
