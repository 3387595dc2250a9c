// Generates a value: constrains the answer by the schema's grammar, parses it as JSON, and runs the
// schema's own check, which also covers what a grammar cannot express.

import { ObjectError, OptionError } from '../../base/errors.ts'
import {
  createField,
  naturalNumber,
  oneOf,
  readOptions,
  unchecked,
  withInfo,
} from '../../base/schema.ts'
import type { SchemaValue } from '../../formats/grammar/grammar-choice.ts'
import type { Generation } from '../engine/answer.ts'
import type { EngineRequest } from '../engine/engine.ts'
import type { GenerateEvent } from '../engine/request.ts'
import { readEnd } from '../engine/generate.ts'
import {
  createObjectError,
  readValue,
  toJsonSchema,
  type ValueOfSchema,
  type ValueSchema,
} from './value-schema.ts'

export interface ObjectOptions<Schema extends ValueSchema = ValueSchema> {
  /** What the value is: a Standard Schema (zod, Valibot, ArkType …) or a JSON Schema. */
  readonly schema: Schema
  /** For a Standard Schema whose vendor cannot convert it to a JSON Schema. */
  readonly jsonSchema?: SchemaValue | undefined
  /** 'none': no white space between JSON tokens, which makes the answer shorter. Default 'free'. */
  readonly whitespace?: 'free' | 'none' | undefined
  /**
   * How often the answer is generated again, each time with the next seed, if the value fails the
   * schema's check. Default 0.
   */
  readonly retries?: number | undefined
}

export interface ObjectAnswer<Value> {
  readonly value: Value
  readonly generation: Generation
}

export const objectFields = {
  schema: unchecked<ValueSchema>('a Standard Schema or a JSON Schema'),
  jsonSchema: createField<SchemaValue>('a JSON Schema', {}, () => true),
  whitespace: withInfo(oneOf<'free' | 'none'>(['free', 'none']), { default: 'free' }),
  retries: withInfo(naturalNumber, { default: 0 }),
}

/** An engine, here or in a worker. */
interface ObjectEngine {
  generate(request: EngineRequest): AsyncIterable<GenerateEvent>
}

type ObjectRequest = Omit<EngineRequest, 'grammar'>

/**
 * The value of one answer: `const { value } = await generateObject(engine, { prompt: ids, schema
 * })`. Throws ObjectError, with the text and the issues, for an answer that was cut off or that the
 * schema's own check rejects; GrammarError for a schema that no value fits.
 */
export async function generateObject<const Schema extends ValueSchema>(
  engine: ObjectEngine,
  request: ObjectRequest & ObjectOptions<Schema>,
): Promise<ObjectAnswer<ValueOfSchema<Schema>>> {
  const { schema, jsonSchema, whitespace, retries, ...rest } = request
  const options = readOptions(
    'Options of object',
    { schema, jsonSchema, whitespace, retries },
    objectFields,
  )
  if ('grammar' in rest && rest.grammar !== undefined)
    throw new OptionError(
      'Options of object: the schema is the grammar; grammar cannot be given with it.',
    )
  const asked = {
    ...rest,
    grammar: describeGrammar(options.jsonSchema ?? toJsonSchema(schema), options.whitespace),
  }
  for (let tries = 0; ; tries++) {
    const again = tries > 0 ? { seed: (rest.seed ?? 0) + tries } : {}
    const generation = await readEnd({ events: engine.generate({ ...asked, ...again }) })
    try {
      return { value: await readGeneration(schema, generation), generation }
    } catch (error) {
      if (!(error instanceof ObjectError) || tries >= options.retries) throw error
    }
  }
}

const describeGrammar = (schema: SchemaValue, whitespace: 'free' | 'none') =>
  ({ type: 'json-schema', schema, whitespace }) as const

async function readGeneration<Schema extends ValueSchema>(
  schema: Schema,
  { text, reason, ids }: Generation,
): Promise<ValueOfSchema<Schema>> {
  if (reason !== 'length') return readValue(schema, text)
  const message = `the answer was cut after ${ids.length} tokens; raise maxTokens`
  throw createObjectError(text, [{ message }])
}
