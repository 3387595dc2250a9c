// Translates Python's regular expressions, which PEFT's configurations contain, to JavaScript's.
// Constructs that JavaScript lacks are refused, not reinterpreted.

import { OptionError } from '../base/errors.ts'

/** Thrown inside the translation, with the construct that cannot be expressed. */
class PythonOnly extends Error {}

/** Python's global flags and their JavaScript form; empty ones have no effect here. */
const flagNames: Readonly<Record<string, string>> = { i: 'i', m: 'm', s: 's', u: '', a: '', x: '' }

/** Escapes that both languages share, and those that are written differently. */
const sameEscapes = /[bBdDsSwWfnrtvxuk\d]/
const otherEscapes: Readonly<Record<string, string>> = { A: '^', Z: '$', z: '$', a: '\\x07' }

interface Piece {
  readonly text: string
  /** Where the next piece begins. */
  readonly end: number
}

/** A backslash and what belongs to it. */
function convertEscape(source: string, at: number, inClass: boolean): Piece {
  const letter = source[at + 1] ?? ''
  const other = otherEscapes[letter]
  if (other !== undefined && (!inClass || letter === 'a')) return { text: other, end: at + 2 }
  if (/[A-Za-z]/.test(letter) && !sameEscapes.test(letter)) throw new PythonOnly(`\\${letter}`)
  return { text: `\\${letter}`, end: at + 2 }
}

/**
 * '[…]'; a closing bracket at the beginning is a character in Python, but ends the class in
 * JavaScript.
 */
function convertClass(source: string, at: number): Piece {
  let text = source[at + 1] === '^' ? '[^' : '['
  let i = at + text.length
  if (source[i] === ']') {
    text += '\\]'
    i++
  }
  while (i < source.length && source[i] !== ']') {
    const escape = source[i] === '\\' ? convertEscape(source, i, true) : undefined
    text += escape?.text ?? source[i]!
    i = escape?.end ?? i + 1
  }
  return { text: `${text}${source[i] ?? ''}`, end: i + 1 }
}

/** A group that begins with '(?'. */
function convertGroup(source: string, at: number): Piece {
  const rest = source.slice(at)
  const named = /^\(\?P<(\w+)>/.exec(rest)
  if (named) return { text: `(?<${named[1]}>`, end: at + named[0].length }
  const back = /^\(\?P=(\w+)\)/.exec(rest)
  if (back) return { text: `\\k<${back[1]}>`, end: at + back[0].length }
  const comment = /^\(\?#[^)]*\)/.exec(rest)
  // an empty group, so that a digit after a back reference stays separate from it
  if (comment) return { text: '(?:)', end: at + comment[0].length }
  const scoped = /^\(\?([aims]*)(?:-([ims]+))?:/.exec(rest)
  if (scoped) {
    const flags = (scoped[1] ?? '').replace('a', '') + (scoped[2] ? `-${scoped[2]}` : '')
    return { text: `(?${flags}:`, end: at + scoped[0].length }
  }
  const same = /^\(\?(?:[=!]|<[=!]|<\w+>)/.exec(rest)
  if (same) return { text: same[0], end: at + same[0].length }
  throw new PythonOnly(/^\(\?[^)]{0,3}/.exec(rest)![0])
}

/** The next piece of a pattern, translated. */
function convertPiece(source: string, at: number, verbose: boolean): Piece {
  const letter = source[at]!
  if (letter === '\\') return convertEscape(source, at, false)
  if (letter === '[') return convertClass(source, at)
  if (letter === '(' && source[at + 1] === '?') return convertGroup(source, at)
  const upTo = /^\{,(\d+)\}/.exec(source.slice(at))
  if (upTo) return { text: `{0,${upTo[1]}}`, end: at + upTo[0].length }
  if (verbose && /\s/.test(letter)) return { text: '', end: at + 1 }
  if (verbose && letter === '#')
    return { text: '', end: (source.indexOf('\n', at) + 1 || source.length + 1) - 1 }
  const possessive = /^[*+?}]\+/.exec(source.slice(at))
  if (possessive) throw new PythonOnly(possessive[0])
  return { text: letter, end: at + 1 }
}

function convertPattern(source: string): { pattern: string; flags: string } {
  const global = /^\(\?([a-zA-Z]+)\)/.exec(source)
  const letters = [...new Set(global?.[1] ?? '')]
  const foreign = letters.find((letter) => flagNames[letter] === undefined)
  if (foreign !== undefined) throw new PythonOnly(`(?${foreign})`)
  const verbose = letters.includes('x')
  let pattern = ''
  for (let at = global?.[0].length ?? 0; at < source.length;) {
    const { text, end } = convertPiece(source, at, verbose)
    pattern += text
    at = end
  }
  return { pattern, flags: letters.map((letter) => flagNames[letter]).join('') }
}

/**
 * A regular expression as Python reads it, between `before` and `after`: \A and \Z, flags such as
 * (?i), groups (?P<name>…) and (?P=name), comments (?#…). Throws OptionError for an invalid one,
 * and for one that only Python supports.
 */
export function parsePythonRegex(
  source: string,
  what: string,
  [before, after]: readonly [string, string] = ['', ''],
): RegExp {
  try {
    const { pattern, flags } = convertPattern(source)
    return new RegExp(`${before}${pattern}${after}`, flags)
  } catch (cause) {
    if (cause instanceof PythonOnly)
      throw new OptionError(
        `${what}: ${JSON.stringify(source)} holds ${cause.message}, which only Python's regular expressions have. ` +
          'Write it in another way, or list the names of the modules.',
        { cause },
      )
    throw new OptionError(
      `${what}: "${source}" is not a regular expression: ${(cause as Error).message}.`,
      { cause },
    )
  }
}
