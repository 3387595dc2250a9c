// A grammar as it is printed: without what fits nothing, without rules that nothing refers to, and
// with short rules in place of references to them. The library computes masks rule by rule: after
// the end of a rule it checks each token while text is generated, so a rule of one character that
// is repeated would cost up to 100 ms a token.

import {
  type GrammarExpression,
  type Grammar,
  isNothing,
  matchEither,
  matchRepeat,
  matchSequence,
  NOTHING,
} from '../grammar.ts'
import { countPositions, findProductive } from './measure.ts'

/** A rule of at most so many texts and classes is in place of references to it. */
const SHORT = 12

const isName = ({ type }: GrammarExpression): boolean => type === 'rule'

/** Applies a change to every part from the innermost out. */
function rewrite(
  expression: GrammarExpression,
  change: (part: GrammarExpression) => GrammarExpression,
): GrammarExpression {
  switch (expression.type) {
    case 'sequence':
      return change(matchSequence(...expression.parts.map((part) => rewrite(part, change))))
    case 'either': {
      const parts = expression.parts.map((part) => rewrite(part, change))
      return change(matchEither(...parts.filter((part) => !isNothing(part))))
    }
    case 'repeat': {
      const { of, least, most } = expression
      return change(matchRepeat(rewrite(of, change), least, most))
    }
    default:
      return change(expression)
  }
}

/** The same language; undefined if no text fits. */
export function simplifyRules(grammar: Grammar): Grammar | undefined {
  const productive = findProductive(grammar)
  if (!productive.has(grammar.root)) return undefined
  const short = new Map<string, GrammarExpression>()
  const open = new Set<string>()
  const done = new Map<string, GrammarExpression>()
  const simplify = (name: string): GrammarExpression => {
    const before = done.get(name)
    if (before) return before
    open.add(name)
    const simplified = rewrite(grammar.rules.get(name)!, (part) => {
      if (part.type === 'free') return dropUnproductive(part, productive)
      if (part.type !== 'rule') return part
      if (!productive.has(part.name)) return NOTHING
      if (open.has(part.name)) return part
      simplify(part.name)
      return short.get(part.name) ?? part
    })
    open.delete(name)
    done.set(name, simplified)
    if (countPositions(simplified) <= SHORT || isName(simplified)) short.set(name, simplified)
    return simplified
  }
  simplify(grammar.root)
  return keepReached({ root: grammar.root, rules: done }, (name) => {
    if (!done.has(name)) simplify(name)
    return done.get(name)!
  })
}

const dropUnproductive = (
  free: GrammarExpression & { readonly type: 'free' },
  productive: ReadonlySet<string>,
): GrammarExpression => ({
  ...free,
  triggers: free.triggers.filter(({ rule }) => productive.has(rule)),
})

function keepReached({ root }: Grammar, get: (name: string) => GrammarExpression): Grammar {
  const rules = new Map<string, GrammarExpression>()
  const waiting = [root]
  for (let name = waiting.pop(); name !== undefined; name = waiting.pop()) {
    if (rules.has(name)) continue
    const expression = get(name)
    rules.set(name, expression)
    rewrite(expression, (part) => {
      if (part.type === 'rule') waiting.push(part.name)
      if (part.type === 'free') waiting.push(...part.triggers.map(({ rule }) => rule))
      return part
    })
  }
  return { root, rules }
}
