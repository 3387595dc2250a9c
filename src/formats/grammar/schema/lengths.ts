// How many characters the texts of an expression have.

import type { GrammarExpression } from '../grammar.ts'

export interface Lengths {
  readonly least: number
  /** May be Infinity. */
  readonly most: number
}

/** Of an expression without rules. */
export function computeLengths(expression: GrammarExpression): Lengths {
  switch (expression.type) {
    case 'text': {
      const { length } = Array.from(expression.text)
      return { least: length, most: length }
    }
    case 'codes':
      return { least: 1, most: 1 }
    case 'sequence':
      return expression.parts
        .map(computeLengths)
        .reduce((sum, { least, most }) => ({ least: sum.least + least, most: sum.most + most }), {
          least: 0,
          most: 0,
        })
    case 'either': {
      const lengths = expression.parts.map(computeLengths)
      return {
        least: Math.min(...lengths.map(({ least }) => least)),
        most: Math.max(...lengths.map(({ most }) => most)),
      }
    }
    case 'repeat': {
      const { least, most } = computeLengths(expression.of)
      return {
        least: least * expression.least,
        most: most === 0 ? 0 : most * expression.most,
      }
    }
    case 'rule':
    case 'free':
      return { least: 0, most: Infinity }
  }
}
