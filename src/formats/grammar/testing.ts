// For tests: expressions without rules as JavaScript's own regular expressions, which judge texts
// independently of automata, bytes and masks.

import type { GrammarExpression } from './grammar.ts'

const hex = (code: number): string => `\\u{${code.toString(16)}}`

function toSource(expression: GrammarExpression): string {
  switch (expression.type) {
    case 'text':
      return Array.from(expression.text, (character) => hex(character.codePointAt(0)!)).join('')
    case 'codes':
      return `[${expression.ranges.map(([from, to]) => `${hex(from)}-${hex(to)}`).join('')}]`
    case 'sequence':
      return `(?:${expression.parts.map(toSource).join('')})`
    case 'either':
      return expression.parts.length === 0
        ? '(?!)'
        : `(?:${expression.parts.map(toSource).join('|')})`
    case 'repeat': {
      const { of, least, most } = expression
      return `(?:${toSource(of)}){${least},${most === Infinity ? '' : most}}`
    }
    case 'rule':
    case 'free':
      throw new Error(`${expression.type} is not regular`)
  }
}

/** Whether a whole text fits. */
export const toRegExp = (expression: GrammarExpression): RegExp =>
  new RegExp(`^(?:${toSource(expression)})$`, 'u')
