// Reads calls in Python's notation, f(a=1, b="x"), one or a list of them, with literal values only:
// any other code is not a call.

import type { ToolDefinition } from '../tool-call-format.ts'
import {
  takeText,
  type CallInput,
  requireText,
  MalformedCall,
  lookAhead,
  dropSpace,
  takeWhile,
} from './call-input.ts'
import type { CallSink } from './call-sink.ts'
import { escapeCharacter, toJsonScalar } from './json-reader.ts'

export interface PythonCallRules {
  /** Only these functions are called; positional arguments get their parameters' names. */
  readonly tools: readonly ToolDefinition[] | undefined
  /** What follows the name: `.call` of Llama's built-in tools. */
  readonly suffix?: string
}

type Take = (text: string) => void

const MOST_DEPTH = 64

const takeIdentifier = (input: CallInput): Generator<void, string> =>
  takeWhile(input, (character) => /[\w.]/.test(character))

const simpleEscapes: Readonly<Record<string, string>> = {
  n: '\n',
  t: '\t',
  r: '\r',
  b: '\b',
  f: '\f',
  '\n': '',
}

function* readEscape(input: CallInput): Generator<void, string> {
  input.at++
  const escape = yield* lookAhead(input)
  if (escape === '') throw new MalformedCall('a string without an end')
  input.at++
  const length = { x: 2, u: 4, U: 8 }[escape]
  if (length === undefined)
    return simpleEscapes[escape] ?? (`\\'"`.includes(escape) ? escape : `\\${escape}`)
  let digits = ''
  while (digits.length < length) {
    const digit = yield* lookAhead(input)
    if (!/^[\da-fA-F]$/.test(digit)) throw new MalformedCall(`an escape \\${escape} without digits`)
    digits += digit
    input.at++
  }
  const code = Number.parseInt(digits, 16)
  if (code > 0x10ffff) throw new MalformedCall('no such character')
  return String.fromCodePoint(code)
}

/** A string's characters, handed on as JSON without its quotes. */
function* readString(input: CallInput, take: Take): Generator<void, void> {
  const quote = yield* lookAhead(input)
  const long = quote.repeat(3)
  const close = (yield* takeText(input, long)) ? long : quote
  if (close === quote) input.at++
  while (!(yield* takeText(input, close))) {
    const character = yield* lookAhead(input)
    if (character === '' || (character === '\n' && close === quote))
      throw new MalformedCall('a string without an end')
    if (character === '\\') for (const one of yield* readEscape(input)) take(escapeCharacter(one))
    else {
      take(escapeCharacter(character))
      input.at++
    }
  }
}

/** Items up to a closing sign, with commas between; Python admits one at the end. */
function* readItems(
  input: CallInput,
  close: string,
  readItem: (index: number) => Generator<void, void>,
): Generator<void, void> {
  for (let index = 0; ; index++) {
    yield* dropSpace(input)
    if (yield* takeText(input, close)) return
    yield* readItem(index)
    yield* dropSpace(input)
    if (yield* takeText(input, close)) return
    yield* requireText(input, ',')
  }
}

function* readQuoted(input: CallInput, take: Take): Generator<void, void> {
  take('"')
  yield* readString(input, take)
  yield* dropSpace(input)
  // Neighbours are one string.
  while (isQuote(yield* lookAhead(input))) {
    yield* readString(input, take)
    yield* dropSpace(input)
  }
  take('"')
}

const isQuote = (character: string): boolean => character === '"' || character === "'"

/** A value, handed on as JSON. */
function* readValue(input: CallInput, take: Take, depth = 0): Generator<void, void> {
  if (depth > MOST_DEPTH) throw new MalformedCall('nested too deeply')
  yield* dropSpace(input)
  const first = yield* lookAhead(input)
  if (isQuote(first)) return yield* readQuoted(input, take)
  if (first === '[' || first === '(' || first === '{') {
    input.at++
    take(first === '{' ? '{' : '[')
    const close = { '[': ']', '(': ')', '{': '}' }[first]
    yield* readItems(input, close, function* (index) {
      if (index > 0) take(', ')
      if (first === '{') {
        yield* dropSpace(input)
        if (!isQuote(yield* lookAhead(input))) throw new MalformedCall('a key is a string')
        yield* readQuoted(input, take)
        yield* dropSpace(input)
        yield* requireText(input, ':')
        take(': ')
      }
      yield* readValue(input, take, depth + 1)
    })
    return take(first === '{' ? '}' : ']')
  }
  const word = yield* takeWhile(input, (character) => /[\w.+-]/.test(character))
  const scalar = toJsonScalar(word.replaceAll(/(?<=\d)_(?=\d)/g, ''))
  if (scalar === undefined) throw new MalformedCall('no literal value')
  take(scalar)
}

/** What is between the parentheses, handed on as a JSON object. */
function* readArguments(
  input: CallInput,
  sink: CallSink,
  name: string,
  names: readonly string[],
): Generator<void, void> {
  let isStarted = false
  const take: Take = (text) => {
    if (!isStarted) sink.start(name)
    isStarted = true
    sink.append(text)
  }
  yield* readItems(input, ')', function* (index) {
    const key = (yield* readKeyword(input)) ?? names[index]
    if (key === undefined) throw new MalformedCall('an argument without a name')
    take(`${index > 0 ? ', ' : '{'}${JSON.stringify(key)}: `)
    yield* readValue(input, take)
  })
  take(isStarted ? '}' : '{}')
  sink.end()
}

/** `name=`; undefined if a value is alone, which stays. */
function* readKeyword(input: CallInput): Generator<void, string | undefined> {
  yield* dropSpace(input)
  for (;;) {
    const text = input.text.slice(input.at)
    const keyword = /^([A-Za-z_]\w*)\s*=(?!=)/.exec(text)
    if (keyword) {
      input.at += keyword[0].length
      return keyword[1]
    }
    if (input.isEnded || !/^(?:[A-Za-z_]\w*\s*=?)?$/.test(text)) return undefined
    yield
  }
}

function* readCall(
  input: CallInput,
  sink: CallSink,
  { tools, suffix = '' }: PythonCallRules,
): Generator<void, void> {
  yield* dropSpace(input)
  const word = yield* takeIdentifier(input)
  yield* requireText(input, '(')
  const tool = tools?.find(({ name }) => name === word || `${name}${suffix}` === word)
  if (word === 'print' && !tool) {
    yield* readCall(input, sink, { tools, suffix })
    yield* dropSpace(input)
    return yield* requireText(input, ')')
  }
  const isName = /^[A-Za-z_][\w.]*$/.test(word) && word.endsWith(suffix)
  if (!isName || (tools && !tool)) throw new MalformedCall('no such function')
  const properties = tool?.parameters['properties'] ?? {}
  const name = tool?.name ?? word.slice(0, word.length - suffix.length)
  yield* readArguments(input, sink, name, Object.keys(properties))
}

/** Calls one after the other, or in a list with commas between. */
export function* readPythonCalls(
  input: CallInput,
  sink: CallSink,
  rules: PythonCallRules,
): Generator<void, void> {
  yield* dropSpace(input)
  if (yield* takeText(input, '[')) {
    let count = 0
    yield* readItems(input, ']', function* () {
      yield* readCall(input, sink, rules)
      count++
    })
    if (count === 0) throw new MalformedCall('an empty list')
    return
  }
  do {
    yield* readCall(input, sink, rules)
    yield* dropSpace(input)
    yield* takeText(input, ';')
    yield* dropSpace(input)
  } while (/^[A-Za-z_]$/.test(yield* lookAhead(input)))
}
