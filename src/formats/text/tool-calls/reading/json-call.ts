// Reads calls that are JSON objects: a name and arguments, one or a list of them.

import { isRecord } from '../../../../base/schema.ts'
import type { ToolDefinition } from '../tool-call-format.ts'
import {
  takeText,
  type CallInput,
  requireText,
  MalformedCall,
  lookAhead,
  dropSpace,
} from './call-input.ts'
import type { CallSink } from './call-sink.ts'
import { readJson, readJsonString, readJsonText } from './json-reader.ts'

/** When an object is a call. */
export interface JsonCallRules {
  /** The only names that are calls; undefined: every name. */
  readonly names?: ReadonlySet<string> | undefined
  /** An object without arguments is none. */
  readonly needsArguments?: boolean
}

/** Rules for objects that no marker comes before: only an offered function makes one a call. */
export const toBareRules = (tools: readonly ToolDefinition[] | undefined): JsonCallRules => ({
  names: tools && new Set(tools.map(({ name }) => name)),
  needsArguments: true,
})

const argumentKeys = new Set(['arguments', 'parameters', 'args'])

/** Arguments may be an object, an object as text, or null for none. Hands on the object. */
function* readArguments(input: CallInput, take: (text: string) => void): Generator<void, void> {
  yield* dropSpace(input)
  const first = yield* lookAhead(input)
  if (first === '{') return yield* readJson(input, take)
  const text = yield* readJsonText(input)
  if (text === 'null') return take('{}')
  const inner = first === '"' ? (JSON.parse(text) as string).trim() : ''
  if (!isObjectText(inner)) throw new MalformedCall('arguments are an object')
  take(inner)
}

function isObjectText(text: string): boolean {
  try {
    return isRecord(JSON.parse(text))
  } catch {
    return false
  }
}

/** What is known of a call while its object is read. */
class JsonCall {
  readonly #sink: CallSink
  readonly #rules: JsonCallRules
  #name: string | undefined
  #id: string | undefined
  #waiting = ''
  #hasArguments = false

  constructor(sink: CallSink, rules: JsonCallRules) {
    this.#sink = sink
    this.#rules = rules
  }

  setName(name: string): void {
    if (this.#name !== undefined) throw new MalformedCall('a call with two names')
    if (name === '' || this.#rules.names?.has(name) === false)
      throw new MalformedCall('no such function')
    this.#name = name
    if (!this.#hasArguments) return
    this.#sink.start(name)
    this.#sink.append(this.#waiting)
  }

  set id(id: string) {
    this.#id = id
  }

  /** Where pieces of the arguments go: with no name so far they wait for it. */
  openArguments(): (text: string) => void {
    if (this.#hasArguments) throw new MalformedCall('a call with two lists of arguments')
    this.#hasArguments = true
    if (this.#name === undefined)
      return (text) => {
        this.#waiting += text
      }
    this.#sink.start(this.#name)
    return (text) => this.#sink.append(text)
  }

  end(): void {
    if (this.#name === undefined) throw new MalformedCall('a call without a name')
    if (!this.#hasArguments) {
      if (this.#rules.needsArguments) throw new MalformedCall('a call without arguments')
      this.openArguments()('{}')
    }
    this.#sink.end(this.#id)
  }
}

/** The members of a call's object, behind its opening brace. */
function* readMembers(input: CallInput, call: JsonCall): Generator<void, void> {
  yield* dropSpace(input)
  if (yield* takeText(input, '}')) return
  for (;;) {
    const key = yield* readJsonString(input)
    yield* dropSpace(input)
    yield* requireText(input, ':')
    if (key === 'name') call.setName(yield* readJsonString(input))
    else if (argumentKeys.has(key)) yield* readArguments(input, call.openArguments())
    else if (key === 'function') yield* readFunction(input, call)
    else if (key === 'id') {
      const id = JSON.parse(yield* readJsonText(input)) as unknown
      if (typeof id === 'string') call.id = id
    } else yield* readJsonText(input)
    yield* dropSpace(input)
    if (yield* takeText(input, '}')) return
    yield* requireText(input, ',')
    yield* dropSpace(input)
  }
}

/** OpenAI's form: an object with name and arguments; in other forms the name alone. */
function* readFunction(input: CallInput, call: JsonCall): Generator<void, void> {
  yield* dropSpace(input)
  if (yield* takeText(input, '{')) yield* readMembers(input, call)
  else call.setName(yield* readJsonString(input))
}

/** One object. */
export function* readJsonCall(
  input: CallInput,
  sink: CallSink,
  rules: JsonCallRules = {},
): Generator<void, void> {
  yield* dropSpace(input)
  yield* requireText(input, '{')
  const call = new JsonCall(sink, rules)
  yield* readMembers(input, call)
  call.end()
}

/** An object or a list of them. */
export function* readJsonCalls(
  input: CallInput,
  sink: CallSink,
  rules: JsonCallRules = {},
): Generator<void, void> {
  yield* dropSpace(input)
  if (!(yield* takeText(input, '['))) return yield* readJsonCall(input, sink, rules)
  yield* dropSpace(input)
  do yield* readJsonCall(input, sink, rules)
  while (yield* takeComma(input))
  yield* requireText(input, ']')
}

function* takeComma(input: CallInput): Generator<void, boolean> {
  yield* dropSpace(input)
  return yield* takeText(input, ',')
}
