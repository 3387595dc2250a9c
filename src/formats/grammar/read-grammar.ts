// A grammar choice as rules, printed for the library that computes masks.

import { GrammarError } from '../../base/errors.ts'
import { readEbnf } from './ebnf.ts'
import type { GrammarChoice } from './grammar-choice.ts'
import { type GrammarExpression, type Grammar, RuleBook } from './grammar.ts'
import { computeMostBytes } from './print/measure.ts'
import { printGrammar } from './print/print-grammar.ts'
import { simplifyRules } from './print/simplify-rules.ts'
import { readRegex } from './regex/read-regex.ts'
import { readSchema } from './schema/read-schema.ts'
import { readStructural } from './structural.ts'

export interface ReadGrammar {
  /** In XGrammar's notation; equal languages that were read alike have equal texts. */
  readonly text: string
  /** What the grammar does not hold of a JSON Schema: '#/properties/email/pattern'. */
  readonly late: readonly string[]
  /** UTF-8 bytes of an answer at most; may be Infinity. */
  readonly mostBytes: number
  /** Texts that stand in the grammar: special tokens among them may be written. */
  readonly literals: readonly string[]
}

const withoutLate = (grammar: Grammar): { grammar: Grammar; late: readonly string[] } => ({
  grammar,
  late: [],
})

function readChoice(choice: GrammarChoice): { grammar: Grammar; late: readonly string[] } {
  switch (choice.type) {
    case 'json':
      return readSchema({ type: 'object' })
    case 'json-schema':
      return readSchema(choice.schema, choice.whitespace)
    case 'regex': {
      const options = { what: 'The pattern', where: 'whole', drop: false } as const
      return withoutLate(new RuleBook().finish(readRegex(choice.pattern, options).expression))
    }
    case 'ebnf':
      return withoutLate(readEbnf(choice.text, choice.root))
    case 'structural':
      return readStructural(choice.format)
  }
}

const namesOf: Readonly<Record<GrammarChoice['type'], string>> = {
  json: 'The grammar',
  'json-schema': 'The JSON Schema',
  regex: 'The pattern',
  ebnf: 'The grammar',
  structural: 'The structural grammar',
}

/**
 * Reads a choice. Throws GrammarError that names the place of what is wrong, or OptionError where it
 * is too large.
 */
export function readGrammar(choice: GrammarChoice): ReadGrammar {
  const { grammar, late } = readChoice(choice)
  const simple = simplifyRules(grammar)
  if (!simple)
    throw new GrammarError(namesOf[choice.type], 'its beginning', 'no text fits it: it never ends')
  const isFree = choice.type === 'structural' || choice.type === 'ebnf'
  return {
    text: printGrammar(simple),
    late,
    mostBytes: computeMostBytes(simple),
    literals: isFree ? listLiterals(simple) : [],
  }
}

function listLiterals({ rules }: Grammar): string[] {
  const found = new Set<string>()
  const visit = (expression: GrammarExpression): void => {
    switch (expression.type) {
      case 'text':
        found.add(expression.text)
        break
      case 'sequence':
      case 'either':
        expression.parts.forEach(visit)
        break
      case 'repeat':
        visit(expression.of)
        break
      case 'free':
        for (const { text } of expression.triggers) found.add(text)
        for (const stop of expression.stops) found.add(stop)
        break
      case 'codes':
      case 'rule':
    }
  }
  for (const expression of rules.values()) visit(expression)
  return [...found]
}
