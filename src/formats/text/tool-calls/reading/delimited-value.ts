// Reads objects in the notation of Gemma's call tokens: {key:value,other:[1,2]}, where keys are
// bare and texts are between two delimiters. Hands on JSON.

import {
  takeText,
  type CallInput,
  requireText,
  MalformedCall,
  lookAhead,
  dropSpace,
  takeWhile,
} from './call-input.ts'
import { escapeCharacter, toJsonScalar } from './json-reader.ts'

type Take = (text: string) => void

const MOST_DEPTH = 64

/** A string between delimiters, without escapes. */
function* readText(input: CallInput, take: Take, delimiter: string): Generator<void, void> {
  take('"')
  while (!(yield* takeText(input, delimiter))) {
    const character = yield* lookAhead(input)
    if (character === '') throw new MalformedCall('a text without an end')
    take(escapeCharacter(character))
    input.at++
  }
  take('"')
}

function* readKey(input: CallInput, take: Take, delimiter: string): Generator<void, void> {
  if (yield* takeText(input, delimiter)) yield* readText(input, take, delimiter)
  else {
    const key = (yield* takeWhile(input, (character) => !/[:,{}[\]]/.test(character))).trim()
    if (key === '') throw new MalformedCall('a value without a key')
    take(JSON.stringify(key))
  }
  yield* dropSpace(input)
  yield* requireText(input, ':')
  take(': ')
}

function* readValue(
  input: CallInput,
  take: Take,
  delimiter: string,
  depth: number,
): Generator<void, void> {
  yield* dropSpace(input)
  if (yield* takeText(input, delimiter)) return yield* readText(input, take, delimiter)
  const first = yield* lookAhead(input)
  if (first === '{') return yield* readDelimited(input, take, delimiter, depth + 1)
  if (first === '[') return yield* readDelimited(input, take, delimiter, depth + 1)
  // A string without its delimiters is accepted too.
  const bare = (yield* takeWhile(input, (character) => !/[,{}[\]]/.test(character))).trim()
  if (bare === '') throw new MalformedCall('a key without a value')
  take(toJsonScalar(bare) ?? JSON.stringify(bare))
}

/** An object or a list. */
export function* readDelimited(
  input: CallInput,
  take: Take,
  delimiter: string,
  depth = 0,
): Generator<void, void> {
  if (depth > MOST_DEPTH) throw new MalformedCall('nested too deeply')
  const isObject = yield* takeText(input, '{')
  if (!isObject) yield* requireText(input, '[')
  const close = isObject ? '}' : ']'
  take(isObject ? '{' : '[')
  yield* dropSpace(input)
  if (!(yield* takeText(input, close)))
    for (;;) {
      yield* dropSpace(input)
      if (isObject) yield* readKey(input, take, delimiter)
      yield* readValue(input, take, delimiter, depth)
      yield* dropSpace(input)
      if (yield* takeText(input, close)) break
      yield* requireText(input, ',')
      take(', ')
    }
  take(close)
}
