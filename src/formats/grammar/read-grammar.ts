// A grammar choice as rules, printed for the library that computes masks.

import { GrammarError } from '../../base/errors.ts'
import { readEbnf } from './ebnf.ts'
import type { GrammarChoice } from './grammar-choice.ts'
import { type Grammar, RuleBook } from './grammar.ts'
import { computeMostBytes } from './print/measure.ts'
import { printGrammar } from './print/print-grammar.ts'
import { simplifyRules } from './print/simplify-rules.ts'
import { readRegex } from './regex/read-regex.ts'
import type { LengthPlan } from './schema/length-plan.ts'
import { readSchema } from './schema/read-schema.ts'
import { readStructural } from './structural.ts'

export interface ReadGrammar {
  /** In XGrammar's notation; equal languages that were read alike have equal texts. */
  readonly text: string
  /** What the grammar does not hold of a JSON Schema: '#/properties/email/pattern'. */
  readonly late: readonly string[]
  /** UTF-8 bytes of an answer at most; may be Infinity. */
  readonly mostBytes: number
  /** Whether the whole text is one JSON value. */
  readonly isJson: boolean
  /** Lengths of strings in it that are counted while it is written. */
  readonly lengths?: LengthPlan | undefined
}

interface ChosenGrammar {
  readonly grammar: Grammar
  readonly late: readonly string[]
  readonly lengths?: LengthPlan | undefined
}

const withoutLate = (grammar: Grammar): ChosenGrammar => ({
  grammar,
  late: [],
})

function readChoice(choice: GrammarChoice): ChosenGrammar {
  switch (choice.type) {
    case 'json':
      return readSchema({ type: 'object' })
    case 'json-schema':
      return readSchema(choice.schema, { whitespace: choice.whitespace, canCount: true })
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
  const { grammar, late, lengths } = readChoice(choice)
  const simple = simplifyRules(grammar)
  if (!simple)
    throw new GrammarError(namesOf[choice.type], 'its beginning', 'no text fits it: it never ends')
  return {
    text: printGrammar(simple),
    late,
    mostBytes: computeMostBytes(simple),
    isJson: choice.type === 'json' || choice.type === 'json-schema',
    lengths,
  }
}
