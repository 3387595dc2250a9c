// Sizes of expressions, which decide how they are printed and what is refused. Independent of
// notations.

import type { GrammarExpression, Grammar } from '../grammar.ts'

/** Numbers of an expression, from those of the rules it refers to. */
type Fold = (expression: GrammarExpression) => number

const sum = (values: readonly number[]): number => values.reduce((total, one) => total + one, 0)

/** Texts and classes once repeats are written out; Infinity for what refers to rules. */
export function countPositions(expression: GrammarExpression): number {
  switch (expression.type) {
    case 'text':
      return expression.text === '' ? 0 : 1
    case 'codes':
      return 1
    case 'sequence':
    case 'either':
      return sum(expression.parts.map(countPositions))
    case 'repeat': {
      const { of, least, most } = expression
      return countPositions(of) * Math.max(1, Number.isFinite(most) ? most : least + 1)
    }
    case 'rule':
    case 'free':
      return Infinity
  }
}

/** UTF-8 bytes at most; Infinity if there is no limit. */
export function computeMostBytes({ root, rules }: Grammar): number {
  const known = new Map<string, number>()
  const measure: Fold = (expression) => {
    switch (expression.type) {
      case 'text':
        return new TextEncoder().encode(expression.text).length
      case 'codes':
        return 4
      case 'sequence':
        return sum(expression.parts.map(measure))
      case 'either':
        return expression.parts.reduce((most, part) => Math.max(most, measure(part)), 0)
      case 'repeat': {
        const one = measure(expression.of)
        return one === 0 ? 0 : one * expression.most
      }
      case 'free':
        return Infinity
      case 'rule':
        return measureRule(expression.name)
    }
  }
  const measureRule = (name: string): number => {
    const before = known.get(name)
    if (before !== undefined) return before
    known.set(name, Infinity) // what refers to itself has no limit
    const bytes = measure(rules.get(name)!)
    known.set(name, bytes)
    return bytes
  }
  return measureRule(root)
}

/** Rules that some text fits; the others would never end. */
export function findProductive({ rules }: Grammar): ReadonlySet<string> {
  const productive = new Set<string>()
  const ends = (expression: GrammarExpression): boolean => {
    switch (expression.type) {
      case 'rule':
        return productive.has(expression.name)
      case 'sequence':
        return expression.parts.every(ends)
      case 'either':
        return expression.parts.some(ends)
      case 'repeat':
        return expression.least === 0 || ends(expression.of)
      case 'text':
      case 'codes':
      case 'free':
        return true
    }
  }
  let before = -1
  while (before !== productive.size) {
    before = productive.size
    for (const [name, expression] of rules)
      if (!productive.has(name) && ends(expression)) productive.add(name)
  }
  return productive
}
