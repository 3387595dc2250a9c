// The options of graft train as --help shows them: their texts are in the training manifest's JSON
// Schema, so that a help text loads only that file.

import { readFile } from 'node:fs/promises'
import { isRecord, type Field, type JsonSchema } from '../../base/schema.ts'
import { createTrainOptions, type TrainOptionTable } from './train-option-table.ts'

const schemaFile = new URL('../../../schemas/training.schema.json', import.meta.url)

/** The table without checks of values. Throws where the schema has no such key. */
export async function readTrainHelp(): Promise<TrainOptionTable> {
  const schema = JSON.parse(await readFile(schemaFile, 'utf8')) as JsonSchema
  return createTrainOptions((key) => {
    const found = findProperty(schema, key.split('.'))
    if (!found) throw new Error(`internal: the schema of training manifests has no ${key}`)
    return toField(found)
  })
}

const toField = (schema: JsonSchema): Field => {
  const { description } = schema
  return {
    expected: '',
    schema,
    ...(typeof description === 'string' && { about: description }),
    is: (value: unknown): value is unknown => value !== undefined,
    findProblems: () => [],
  }
}

/**
 * The schema at a path. A choice is a name, or an object for each name: the first that has the
 * property, the usual name's before the others.
 */
function findProperty(
  schema: JsonSchema,
  [name, ...rest]: readonly string[],
): JsonSchema | undefined {
  if (name === undefined) return schema
  const properties = schema['properties']
  if (isRecord(properties)) {
    const found = properties[name]
    return isRecord(found) ? findProperty(found, rest) : undefined
  }
  const forms = listSchemas(schema['anyOf'])
  if (name === 'name') return forms.find((form) => 'enum' in form)
  const rows = forms.flatMap((form) => listSchemas(form['oneOf']))
  return rows.map((row) => findProperty(row, [name, ...rest])).find((one) => one !== undefined)
}

const listSchemas = (value: unknown): readonly JsonSchema[] =>
  Array.isArray(value) ? value.filter(isRecord) : []
