// --json-schema, --grammar and --regex: the constraints of an answer, from files and the command
// line.

import { GraftError, NotFoundError, OptionError } from '../../base/errors.ts'
import { string } from '../../base/schema.ts'
import type { GrammarChoice, SchemaValue } from '../../formats/grammar/grammar-choice.ts'
import { type Options, toOption, UsageError, type Values } from '../command.ts'

export const grammarOptions = {
  'json-schema': toOption(
    string({ about: 'the answer is JSON that fits this schema; - reads it from stdin' }),
    { valueName: 'file' },
  ),
  grammar: toOption(string({ about: 'the answer fits this grammar, in EBNF (GBNF)' }), {
    valueName: 'file',
  }),
  regex: toOption(string({ about: 'the whole answer matches this pattern' }), {
    valueName: 'pattern',
  }),
} as const satisfies Options

/**
 * The grammar that was asked for. Throws UsageError for more than one, NotFoundError for no file.
 */
export async function readGrammarOptions(
  values: Values<typeof grammarOptions>,
): Promise<GrammarChoice | undefined> {
  const given = Object.keys(grammarOptions).filter(
    (name) => values[name as keyof typeof grammarOptions] !== undefined,
  )
  if (given.length > 1)
    throw new UsageError(`--${given.join(' and --')}: an answer has one grammar; give one of them.`)
  const { 'json-schema': schemaFile, grammar: grammarFile, regex: pattern } = values
  if (pattern !== undefined) return { type: 'regex', pattern }
  if (grammarFile !== undefined)
    return { type: 'ebnf', text: await readText(grammarFile, '--grammar') }
  if (schemaFile === undefined) return undefined
  const text = await readText(schemaFile, '--json-schema')
  try {
    return { type: 'json-schema', schema: JSON.parse(text) as SchemaValue }
  } catch (error) {
    throw new OptionError(`--json-schema ${schemaFile}: ${String(error)}`)
  }
}

async function readText(path: string, option: string): Promise<string> {
  const { readFile } = await import('node:fs/promises')
  try {
    return await readFile(path === '-' ? '/dev/stdin' : path, 'utf8')
  } catch (error) {
    if (GraftError.isInstance(error)) throw error
    const { describeError, findErrorCode } = await import('../../node/files/system-errors.ts')
    if (findErrorCode(error) === 'ENOENT')
      throw new NotFoundError(`${option}: ${path}: there is no such file.`)
    throw new NotFoundError(`${option}: ${path} cannot be read: ${describeError(error)}.`)
  }
}

/**
 * Throws ObjectError if a complete answer fails a part of its schema that the grammar cannot
 * express.
 */
export async function checkGrammarAnswer(
  grammar: GrammarChoice | undefined,
  text: string,
): Promise<void> {
  if (grammar?.type !== 'json-schema') return
  const { readValue } = await import('../../runtime/object/value-schema.ts')
  await readValue(grammar.schema, text)
}
