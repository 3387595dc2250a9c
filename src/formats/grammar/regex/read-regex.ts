// A regular expression as a grammar's expression: for the whole text, or for a text that contains
// it.

import { GrammarError } from '../../../base/errors.ts'
import {
  ANY_CODE,
  EMPTY,
  type GrammarExpression,
  matchCodes,
  matchEither,
  matchRepeat,
  matchSequence,
} from '../grammar.ts'
import { parseRegex, type ParsedRegex, type RegexNode } from './parse-regex.ts'

export interface RegexOptions {
  /** Names the pattern in errors. */
  readonly what: string
  /**
   * 'whole': the pattern is the whole text. 'inside': the text contains a match, as in JSON
   * Schema's `pattern`, unless ^ and $ anchor it.
   */
  readonly where: 'whole' | 'inside'
  /** Leaves out what only narrows the pattern instead of refusing it. */
  readonly drop: boolean
}

export interface RegexExpression {
  readonly expression: GrammarExpression
  /** What was left out. */
  readonly dropped: readonly string[]
}

const MOST_NESTED_BACKS = 8

class RegexConverter {
  readonly dropped: string[] = []
  readonly #options: RegexOptions
  readonly #groups: ParsedRegex['groups']
  #backs = 0

  constructor(options: RegexOptions, { groups }: ParsedRegex) {
    this.#options = options
    this.#groups = groups
  }

  convert(node: RegexNode): GrammarExpression {
    switch (node.type) {
      case 'codes':
        return matchCodes(node.ranges)
      case 'sequence':
        return matchSequence(...node.parts.map((part) => this.convert(part)))
      case 'either':
        return matchEither(...node.parts.map((part) => this.convert(part)))
      case 'repeat':
        return matchRepeat(this.convert(node.of), node.least, node.most)
      case 'start':
        return this.#drop('^', 'inside of a pattern')
      case 'end':
        return this.#drop('$', 'inside of a pattern')
      case 'condition':
        return this.#drop(node.text, 'which no grammar can hold', node.at)
      case 'back':
        return this.#convertBack(node)
    }
  }

  #convertBack({ group, at }: RegexNode & { readonly type: 'back' }): GrammarExpression {
    const earlier = this.#groups.get(group)
    this.#drop(`\\${group}`, 'a back reference, which no grammar can hold', at)
    if (!earlier || this.#backs >= MOST_NESTED_BACKS) return matchRepeat(ANY_CODE, 0, Infinity)
    this.#backs++
    const expression = this.convert(earlier)
    this.#backs--
    return expression
  }

  #drop(text: string, why: string, at?: number): GrammarExpression {
    const { drop, what } = this.#options
    const place = at === undefined ? 'the pattern' : `character ${at + 1}`
    if (!drop) throw new GrammarError(what, place, `got ${text}, ${why}`)
    this.dropped.push(text)
    return EMPTY
  }
}

const anything: RegexNode = {
  type: 'repeat',
  of: { type: 'codes', ranges: (ANY_CODE as { ranges: RegexRanges }).ranges },
  least: 0,
  most: Infinity,
}
type RegexRanges = Extract<RegexNode, { readonly type: 'codes' }>['ranges']

/** Takes anchors off one side of a pattern; `fill` is there in alternatives without one. */
function takeAnchors(node: RegexNode, side: 'start' | 'end', fill: RegexNode[]): RegexNode {
  if (node.type === side) return { type: 'sequence', parts: [] }
  if (node.type === 'either')
    return { type: 'either', parts: node.parts.map((part) => takeAnchors(part, side, fill)) }
  const place = (parts: readonly RegexNode[]): RegexNode => ({
    type: 'sequence',
    parts: side === 'start' ? [...fill, ...parts] : [...parts, ...fill],
  })
  if (node.type !== 'sequence' || node.parts.length === 0) return place([node])
  // Look-arounds are next to anchors: ^(?!x)… and …(?<!x)$.
  const order = side === 'start' ? node.parts : node.parts.toReversed()
  const at = order.findIndex((part) => part.type !== 'condition')
  const edge = order[at]
  if (!edge || !['start', 'end', 'either', 'sequence'].includes(edge.type)) return place(node.parts)
  const taken = order.with(at, takeAnchors(edge, side, fill))
  return { type: 'sequence', parts: side === 'start' ? taken : taken.toReversed() }
}

/** Throws GrammarError for a pattern that is wrong or, without `drop`, that no grammar can hold. */
export function readRegex(pattern: string, options: RegexOptions): RegexExpression {
  const parsed = parseRegex(pattern, options.what)
  const converter = new RegexConverter(options, parsed)
  const fill = options.where === 'inside' ? [anything] : []
  const bare = takeAnchors(takeAnchors(parsed.node, 'start', fill), 'end', fill)
  return { expression: converter.convert(bare), dropped: converter.dropped }
}
