// Reads JSON as it arrives. What it hands on is JSON that can be parsed, with numbers as they were
// written; slips that models make are mended: line breaks inside strings, escapes that JSON does
// not know, Python's True, False and None.

import {
  takeText,
  type CallInput,
  requireText,
  MalformedCall,
  lookAhead,
  dropSpace,
  takeWhile,
} from './call-input.ts'

const words = new Map([
  ['true', 'true'],
  ['false', 'false'],
  ['null', 'null'],
  ['True', 'true'],
  ['False', 'false'],
  ['None', 'null'],
])
const numberForm = /^-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?$/

/** The JSON of a word or number; undefined if it is neither. */
export const toJsonScalar = (text: string): string | undefined =>
  words.get(text) ?? (numberForm.test(text) ? text : undefined)

/** A character as it is in a JSON string. */
export function escapeCharacter(character: string): string {
  if (character === '"' || character === '\\') return `\\${character}`
  return character < ' ' ? JSON.stringify(character).slice(1, -1) : character
}

/** Nothing, or the replacement of an escape that JSON does not have. Moves behind it. */
function* readEscape(input: CallInput): Generator<void, void> {
  // Both characters must be there, because a mended escape replaces them together.
  while (input.text.length - input.at < 2) {
    if (input.isEnded) throw new MalformedCall('a string ends in an escape')
    yield
  }
  const escape = input.text[input.at + 1]!
  if (escape === 'u') {
    while (input.text.length - input.at < 6 && !input.isEnded) yield
    const digits = input.text.slice(input.at + 2, input.at + 6)
    if (!/^[\da-fA-F]{4}$/.test(digits)) throw new MalformedCall('an escape \\u without its digits')
    input.at += 6
  } else if ('"\\/bfnrt'.includes(escape)) input.at += 2
  else if (escape === "'") input.replace(2, "'")
  else input.replace(1, '\\\\')
}

/** A string behind its opening quote, with the closing one. */
function* readStringRest(input: CallInput): Generator<void, void> {
  for (;;) {
    const character = yield* lookAhead(input)
    if (character === '') throw new MalformedCall('a string without an end')
    if (character === '\\') yield* readEscape(input)
    else if (character < ' ') input.replace(1, escapeCharacter(character))
    else {
      input.at++
      if (character === '"') return
    }
  }
}

function* readScalar(input: CallInput): Generator<void, void> {
  // A word is put in as a whole, so that half a number is never handed on.
  let length = 0
  for (;;) {
    while (input.at + length >= input.text.length && !input.isEnded) yield
    const character = input.text[input.at + length] ?? ''
    if (character === '' || !/[\w.+-]/.test(character)) break
    length++
  }
  const scalar = toJsonScalar(input.text.slice(input.at, input.at + length))
  if (scalar === undefined) throw new MalformedCall('neither a number nor true, false or null')
  input.replace(length, scalar)
}

/** What must follow a value inside of `open`: another one, or the end. True at the end. */
function* readSeparator(input: CallInput, open: string): Generator<void, boolean> {
  yield* dropSpace(input)
  if (yield* takeText(input, open === '{' ? '}' : ']')) return true
  yield* requireText(input, ',')
  yield* dropSpace(input)
  if (open === '{') yield* readKey(input)
  return false
}

function* readKey(input: CallInput): Generator<void, void> {
  yield* requireText(input, '"')
  yield* readStringRest(input)
  yield* dropSpace(input)
  yield* requireText(input, ':')
}

/** Any value, of any depth: what is open is a list, not calls of a function. */
function* readValue(input: CallInput): Generator<void, void> {
  const open: string[] = []
  for (;;) {
    yield* dropSpace(input)
    const character = yield* lookAhead(input)
    if (character === '{' || character === '[') {
      input.at++
      yield* dropSpace(input)
      if (!(yield* takeText(input, character === '{' ? '}' : ']'))) {
        if (character === '{') yield* readKey(input)
        open.push(character)
        continue
      }
    } else if (character === '"') {
      input.at++
      yield* readStringRest(input)
    } else yield* readScalar(input)
    for (;;) {
      if (open.length === 0) return
      if (!(yield* readSeparator(input, open.at(-1)!))) break
      open.pop()
    }
  }
}

/** Reads a JSON value and hands on its text in pieces. Throws MalformedCall. */
export function* readJson(input: CallInput, take: (text: string) => void): Generator<void, void> {
  yield* dropSpace(input)
  input.record(take)
  yield* readValue(input)
  input.stop()
}

/** Reads a JSON value as a whole. */
export function* readJsonText(input: CallInput): Generator<void, string> {
  let text = ''
  yield* readJson(input, (piece) => {
    text += piece
  })
  return text
}

/** Reads a JSON string; returns its value. */
export function* readJsonString(input: CallInput): Generator<void, string> {
  yield* dropSpace(input)
  if ((yield* lookAhead(input)) !== '"') throw new MalformedCall('expected a string')
  return JSON.parse(yield* readJsonText(input)) as string
}

/** An unquoted name of a function. */
export const takeName = (input: CallInput): Generator<void, string> =>
  takeWhile(input, (character) => /[\w.\-/]/.test(character))
