// Reads structural grammars: free text with parts that have their own grammars.

import { GrammarError } from '../../base/errors.ts'
import { describeValue, isRecord } from '../../base/schema.ts'
import { findNearestName } from '../../base/suggest.ts'
import { readEbnf } from './ebnf.ts'
import type { StructuralFormat, TagFormat } from './grammar-choice.ts'
import {
  ANY_CODE,
  type GrammarExpression,
  type Grammar,
  matchEither,
  matchOptional,
  matchRepeat,
  matchSequence,
  matchText,
  RuleBook,
} from './grammar.ts'
import { readRegex } from './regex/read-regex.ts'
import { readSchema } from './schema/read-schema.ts'

export interface StructuralGrammar {
  readonly grammar: Grammar
  readonly late: readonly string[]
}

const what = 'The structural grammar'

type Check = readonly [expected: string, is: (value: unknown) => boolean]
const string: Check = ['a string', (value) => typeof value === 'string']
const filled: Check = [
  'a string that is not empty',
  (value) => typeof value === 'string' && value !== '',
]
const schema: Check = [
  'a JSON Schema: an object, true or false',
  (value) => isRecord(value) || typeof value === 'boolean',
]
const part: Check = ['an object with a type', isRecord]
const list: Check = [
  'a list that is not empty',
  (value) => Array.isArray(value) && value.length > 0,
]
const flag: Check = ['true or false', (value) => value === undefined || typeof value === 'boolean']

const keysOf: Readonly<Record<StructuralFormat['type'], Readonly<Record<string, Check>>>> = {
  const_string: { value: filled },
  any_text: {},
  json_schema: { json_schema: schema },
  regex: { pattern: string },
  grammar: { grammar: string },
  sequence: { elements: list },
  or: { elements: list },
  tag: { begin: string, content: part, end: string },
  triggered_tags: { triggers: list, tags: list, at_least_one: flag, stop_after_first: flag },
  tags_with_separator: {
    tags: list,
    separator: string,
    at_least_one: flag,
    stop_after_first: flag,
  },
}

/** Parts within parts at most. */
const MOST_DEPTH = 50

class StructuralReader {
  readonly #book = new RuleBook()
  readonly late: string[] = []

  finish(format: StructuralFormat): Grammar {
    return this.#book.finish(this.#read(format, '#', ''))
  }

  /** `end`: what ends free text here, and belongs to it; '' where nothing does. */
  #read(format: StructuralFormat, place: string, end: string): GrammarExpression {
    checkFormat(format, place)
    const close = matchText(end)
    switch (format.type) {
      case 'const_string':
        return matchSequence(matchText(format.value), close)
      case 'any_text':
        return this.#readText(end)
      case 'json_schema': {
        const { grammar, late } = this.#within(`${place}/json_schema`, () =>
          readSchema(format.json_schema),
        )
        this.late.push(...late.map((at) => `${place}/json_schema${at.slice(1)}`))
        return matchSequence(this.#book.include(grammar), close)
      }
      case 'regex': {
        const read = () =>
          readRegex(format.pattern, { what: 'The pattern', where: 'whole', drop: false })
        return matchSequence(this.#within(`${place}/pattern`, read).expression, close)
      }
      case 'grammar': {
        const grammar = this.#within(`${place}/grammar`, () => readEbnf(format.grammar))
        return matchSequence(this.#book.include(grammar), close)
      }
      case 'sequence': {
        const last = format.elements.length - 1
        const parts = format.elements.map((element, i) =>
          this.#read(element, `${place}/elements/${i}`, i === last ? end : ''),
        )
        return matchSequence(...parts)
      }
      case 'or':
        return matchEither(
          ...format.elements.map((element, i) =>
            this.#read(element, `${place}/elements/${i}`, end),
          ),
        )
      case 'tag':
        return matchSequence(this.#readTag(format, place), close)
      case 'triggered_tags':
        return this.#readTriggered(format, place, end)
      case 'tags_with_separator':
        return matchSequence(this.#readSeparated(format, place), close)
    }
  }

  #within<Of>(place: string, read: () => Of): Of {
    try {
      return read()
    } catch (error) {
      if (!(error instanceof GrammarError)) throw error
      throw new GrammarError(what, place, error.message)
    }
  }

  #readText(end: string): GrammarExpression {
    if (end === '') return matchRepeat(ANY_CODE, 0, Infinity)
    return this.#book.add('text', { type: 'free', triggers: [], stops: [end], goesOn: false })
  }

  #readTag({ begin, content, end }: TagFormat, place: string): GrammarExpression {
    return matchSequence(matchText(begin), this.#read(content, `${place}/content`, end))
  }

  #readTags(tags: readonly TagFormat[], place: string): GrammarExpression[] {
    return tags.map((tag, i) => {
      const at = `${place}/tags/${i}`
      checkFormat(tag, at)
      if (tag.type !== 'tag')
        throw new GrammarError(what, `${at}/type`, `got ${describeValue(tag.type)}, expected "tag"`)
      return this.#readTag(tag, at)
    })
  }

  #readTriggered(
    format: StructuralFormat & { readonly type: 'triggered_tags' },
    place: string,
    end: string,
  ): GrammarExpression {
    const { triggers, tags, at_least_one: isNeeded, stop_after_first: isLast } = format
    checkTriggers(format, place)
    const whole = this.#readTags(tags, place)
    const close = matchText(end)
    if (isNeeded && isLast) return matchSequence(matchEither(...whole), close)
    const behind = triggers.map((trigger) => {
      const rests = tags.flatMap((tag, i) =>
        tag.begin.startsWith(trigger)
          ? [
              this.#readTag(
                { ...tag, begin: tag.begin.slice(trigger.length) },
                `${place}/tags/${i}`,
              ),
            ]
          : [],
      )
      const rule = this.#book.reserve('tag')
      this.#book.fill(rule, matchEither(...rests))
      return { text: trigger, rule }
    })
    const free = this.#book.add('free', {
      type: 'free',
      triggers: behind,
      stops: end === '' ? [] : [end],
      goesOn: !isLast,
    })
    return isNeeded ? matchSequence(matchEither(...whole), free) : free
  }

  #readSeparated(
    format: StructuralFormat & { readonly type: 'tags_with_separator' },
    place: string,
  ): GrammarExpression {
    const { separator, tags, at_least_one: isNeeded, stop_after_first: isLast } = format
    const one = this.#book.add('tag', matchEither(...this.#readTags(tags, place)))
    const more = isLast
      ? matchText('')
      : matchRepeat(matchSequence(matchText(separator), one), 0, Infinity)
    const some = matchSequence(one, more)
    return isNeeded ? some : matchOptional(some)
  }
}

function checkFormat(format: unknown, place: string): void {
  if (place.split('/').length > 2 * MOST_DEPTH)
    throw new GrammarError(what, place, `over ${MOST_DEPTH} parts within each other`)
  const type = isRecord(format) ? format['type'] : undefined
  const keys =
    typeof type === 'string' && Object.hasOwn(keysOf, type)
      ? keysOf[type as StructuralFormat['type']]
      : undefined
  if (!keys) {
    const types = Object.keys(keysOf)
    const meant = typeof type === 'string' ? findNearestName(type, types) : undefined
    const hint = meant === undefined ? '' : `. Did you mean "${meant}"?`
    const problem = `got ${describeValue(type)}, expected ${types.join(', ')}${hint}`
    throw new GrammarError(what, `${place}/type`, problem)
  }
  for (const key of Object.keys(format as object))
    if (key !== 'type' && !Object.hasOwn(keys, key))
      throw new GrammarError(what, `${place}/${key}`, `a part of type ${type} has no such key`)
  for (const [key, [expected, is]] of Object.entries(keys)) {
    const value = (format as Readonly<Record<string, unknown>>)[key]
    if (!is(value))
      throw new GrammarError(
        what,
        `${place}/${key}`,
        `got ${describeValue(value)}, expected ${expected}`,
      )
  }
}

function checkTriggers(
  { triggers, tags }: StructuralFormat & { readonly type: 'triggered_tags' },
  place: string,
): void {
  triggers.forEach((trigger, i) => {
    const at = `${place}/triggers/${i}`
    if (typeof trigger !== 'string' || trigger === '')
      throw new GrammarError(what, at, `got ${describeValue(trigger)}, expected a string`)
    const other = triggers.find((one, j) => j !== i && one.startsWith(trigger))
    if (other !== undefined)
      throw new GrammarError(what, at, `"${trigger}" is the beginning of the trigger "${other}"`)
    if (!tags.some((tag) => isRecord(tag) && String(tag.begin).startsWith(trigger)))
      throw new GrammarError(what, at, `no tag begins with "${trigger}"`)
  })
  tags.forEach((tag, i) => {
    if (isRecord(tag) && !triggers.some((trigger) => String(tag.begin).startsWith(trigger)))
      throw new GrammarError(
        what,
        `${place}/tags/${i}/begin`,
        `"${tag.begin}" begins with none of the triggers`,
      )
  })
}

/** Throws GrammarError that names the place: '#/elements/0/content'. */
export function readStructural(format: StructuralFormat): StructuralGrammar {
  const reader = new StructuralReader()
  return { grammar: reader.finish(format), late: reader.late }
}
