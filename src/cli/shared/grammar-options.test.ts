import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { NotFoundError, ObjectError, OptionError } from '../../base/errors.ts'
import { UsageError, type Values } from '../command.ts'
import { checkGrammarAnswer, type grammarOptions, readGrammarOptions } from './grammar-options.ts'

let folder: string
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'graft-grammar-'))
})
afterAll(() => rm(folder, { recursive: true }))

const read = (values: Partial<Values<typeof grammarOptions>>) =>
  readGrammarOptions({ 'json-schema': undefined, grammar: undefined, regex: undefined, ...values })

const write = async (name: string, text: string): Promise<string> => {
  const path = join(folder, name)
  await writeFile(path, text)
  return path
}

it('reads a schema, a grammar or a pattern', async () => {
  expect(await read({})).toBeUndefined()
  expect(await read({ regex: 'a+' })).toEqual({ type: 'regex', pattern: 'a+' })
  const grammar = await write('a.gbnf', 'root ::= "a"')
  expect(await read({ grammar })).toEqual({ type: 'ebnf', text: 'root ::= "a"' })
  const schema = await write('a.json', '{"type": "integer"}')
  expect(await read({ 'json-schema': schema })).toEqual({
    type: 'json-schema',
    schema: { type: 'integer' },
  })
})

it('names what is wrong', async () => {
  await expect(read({ regex: 'a', grammar: 'b' })).rejects.toThrow(UsageError)
  await expect(read({ regex: 'a', grammar: 'b' })).rejects.toThrow('--grammar and --regex')
  await expect(read({ grammar: join(folder, 'none') })).rejects.toThrow(NotFoundError)
  const broken = await write('broken.json', '{')
  await expect(read({ 'json-schema': broken })).rejects.toThrow(OptionError)
})

it('checks a complete answer', async () => {
  const grammar = { type: 'json-schema', schema: { type: 'integer', multipleOf: 5 } } as const
  await checkGrammarAnswer(undefined, 'anything')
  await checkGrammarAnswer(grammar, '10')
  await expect(checkGrammarAnswer(grammar, '11')).rejects.toThrow(ObjectError)
})
