// The manifest's schema, made from the tables of its keys: one definition that checks and that is
// published as JSON Schema. Only platforms that read manifests load this file, since the schema
// library is not small.

import * as z from 'zod'
import { findNearestName } from '../base/suggest.ts'
import type { JsonSchema } from '../base/schema.ts'
import {
  defineBatchKeys,
  type ChoiceTable,
  defineDataKeys,
  defineEvaluationKeys,
  defineEwcKeys,
  type ManifestKey,
  type ManifestKeys,
  defineKindKeys,
  type ManifestTables,
  defineScheduleKeys,
  teacherKeys,
  defineTopKeys,
} from './keys.ts'
import type { ManifestProblem } from './training-manifest.ts'

type Schema = z.ZodType

/** 'expected a, b', with the name that was probably meant. */
function describeExpectation(expected: string, got: unknown, names: readonly unknown[]): string {
  const words = names.filter((name) => typeof name === 'string')
  const meant = typeof got === 'string' ? findNearestName(got, words) : undefined
  return `expected ${expected}${meant === undefined ? '' : `. Did you mean ${meant}?`}`
}

const listNames = (schema: JsonSchema): readonly unknown[] =>
  (schema['enum'] as readonly unknown[] | undefined) ?? []

/** For a list the entry that is wrong, for anything else the value. */
function findWrongPart(
  value: unknown,
  { schema, is }: ManifestKey['field'],
): { got: unknown; names: readonly unknown[] } {
  const items = schema['items'] as JsonSchema | undefined
  if (!items || !Array.isArray(value)) return { got: value, names: listNames(schema) }
  return { got: value.find((item) => !is([item])), names: listNames(items) }
}

function toValueSchema({ field, about, required }: ManifestKey): Schema {
  const said = (issue: { readonly input?: unknown }): string => {
    const { got, names } = findWrongPart(issue.input, field)
    return describeExpectation(field.expected, got, names)
  }
  const value = z
    .unknown()
    .refine(field.is, { error: said })
    .meta({ ...field.schema, description: about })
  return required ? value : value.optional()
}

const toValueSchemas = (keys: ManifestKeys): Record<string, Schema> =>
  Object.fromEntries(Object.entries(keys).map(([name, key]) => [name, toValueSchema(key)]))

/** A map with these keys and no other. */
function createMapSchema(shape: Record<string, Schema>, about: string) {
  const names = Object.keys(shape)
  const error = (issue: {
    readonly code?: string | undefined
    readonly keys?: unknown
  }): string => {
    if (issue.code !== 'unrecognized_keys') return `expected a map with ${names.join(', ')}`
    // One line for each key, in the order in which the library names them.
    return (issue.keys as readonly string[])
      .map((key) => describeExpectation(`one of ${names.join(', ')}`, key, names))
      .join('\n')
  }
  return z.strictObject(shape, { error }).describe(about)
}

/**
 * A row by its name, or a map with the name and options: 'cosine' or { name: cosine, epochs: 3 }.
 */
function createChoiceSchema(
  rows: ChoiceTable,
  shared: ManifestKeys,
  about: string,
  usual: string,
): Schema {
  const names = [...rows.keys()]
  const listed = (issue: { readonly input?: unknown }): string => {
    const { input } = issue
    const got = typeof input === 'object' && input !== null && 'name' in input ? input.name : input
    return describeExpectation(`one of ${names.join(', ')}`, got, names)
  }
  const maps = [...rows].map(([name, row]) => {
    const literal = z.literal(name).describe(row.about ?? about)
    return createMapSchema(
      {
        name: name === usual ? literal.optional() : literal,
        ...toValueSchemas({ ...shared, ...row.options }),
      },
      about,
    )
  })
  const [first, ...others] = maps
  const map = z.discriminatedUnion('name', [first!, ...others], { error: listed })
  return z.union([z.enum(names), map], { error: listed }).describe(about)
}

/** What a manifest may be, by the tables of this version. */
export function createManifestSchema(tables: ManifestTables): Schema {
  const kinds = new Map(
    [...tables.kinds].map(([name, { options }]) => [name, { options: defineKindKeys(options) }]),
  )
  const { base, out, targets, ...others } = toValueSchemas(defineTopKeys(tables))
  return createMapSchema(
    {
      base: base!,
      out: out!,
      kind: createChoiceSchema(
        kinds,
        {},
        'the kind of adapter, and its options',
        'lora',
      ).optional(),
      targets: targets!,
      data: createMapSchema(toValueSchemas(defineDataKeys(tables)), 'what is learned'),
      batch: createMapSchema(
        toValueSchemas(defineBatchKeys(tables)),
        'how much is learned at once',
      ).optional(),
      schedule: createChoiceSchema(
        tables.schedules,
        defineScheduleKeys(tables),
        'how long, and how the learning rate moves',
        'cosine',
      ).optional(),
      optimizer: createChoiceSchema(
        tables.optimizers,
        tables.settings.optimizer,
        'the rule of a step, and its options',
        'adamw',
      ).optional(),
      loss: createChoiceSchema(
        tables.losses,
        {},
        'what is made small, and its options',
        'cross-entropy',
      ).optional(),
      teacher: createMapSchema(
        toValueSchemas(teacherKeys),
        'who is imitated, by the loss distillation',
      ).optional(),
      ewc: createMapSchema(
        toValueSchemas(defineEwcKeys(tables)),
        'protects what earlier tasks need, and measures what this one does',
      ).optional(),
      evaluation: createMapSchema(
        toValueSchemas(defineEvaluationKeys(tables)),
        'what is measured after the training',
      ).optional(),
      ...others,
    } as Record<string, Schema>,
    'an expert, as graft train makes it',
  )
}

/** The schema for editors, as JSON Schema (draft 7). */
export const createManifestJsonSchema = (tables: ManifestTables): object => ({
  $schema: 'http://json-schema.org/draft-07/schema#',
  title: 'A Graft expert',
  ...z.toJSONSchema(createManifestSchema(tables), { target: 'draft-7', io: 'input' }),
})

type Issue = z.core.$ZodIssue
type Path = readonly (string | number)[]

/** Everything that is wrong with a manifest; empty where nothing is. */
export function findManifestProblems(value: unknown, tables: ManifestTables): ManifestProblem[] {
  const schema = createManifestSchema(tables)
  const check = (given: unknown): ManifestProblem[] => {
    const result = schema.safeParse(given)
    return result.success
      ? []
      : result.error.issues.flatMap((issue) => collectProblems(issue, [], given))
  }
  const problems = check(value)
  // Where a row's name is wrong, its section cannot be told by it: what the other keys hold is
  // checked as for the usual row, their names are not.
  const misnamed = problems
    .filter(({ path }) => path.length === 2 && path[1] === 'name')
    .map(({ path }) => String(path[0]))
  if (misnamed.length === 0) return problems
  const others = check(removeNames(value as Record<string, object>, misnamed)).filter(
    ({ path, message }) => misnamed.includes(String(path[0])) && !message.startsWith(unknownKey),
  )
  return [...problems, ...others]
}

const removeNames = (
  value: Readonly<Record<string, object>>,
  sections: readonly string[],
): object => ({
  ...value,
  ...Object.fromEntries(
    sections.map((section) => [section, { ...value[section], name: undefined }]),
  ),
})

const unknownKey = 'is not known'

const findAt = (value: unknown, path: Path): unknown =>
  path.reduce<unknown>(
    (part, key) =>
      part === null || part === undefined
        ? undefined
        : (part as Record<string | number, unknown>)[key],
    value,
  )

function collectProblems(issue: Issue, above: Path, whole: unknown): ManifestProblem[] {
  const path = [...above, ...(issue.path as Path)]
  if (issue.code === 'unrecognized_keys')
    return issue.keys.map((key, i) => ({
      path: [...path, key],
      message: `${unknownKey}; ${issue.message.split('\n')[i]}`,
    }))
  // Of alternatives, the one that the value comes closest to says more than all of them: there
  // something deeper than its form is wrong.
  const deeper =
    issue.code === 'invalid_union'
      ? issue.errors.find((errors) =>
          errors.every((error) => error.path.length > 0 || error.code === 'unrecognized_keys'),
        )
      : undefined
  if (deeper && deeper.length > 0)
    return deeper.flatMap((error) => collectProblems(error as Issue, path, whole))
  return [{ path, message: `${describeValue(findAt(whole, path))}; ${issue.message}` }]
}

function describeValue(value: unknown): string {
  if (value === undefined) return 'is missing'
  if (value === null) return 'is empty'
  const json = JSON.stringify(value)
  return `is ${json.length > 80 ? `${json.slice(0, 80)}…` : json}`
}
