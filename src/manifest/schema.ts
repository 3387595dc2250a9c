// The manifest's schema, made from the tables of its keys: one definition that checks and that is
// published as JSON Schema. Only platforms that read manifests load this file, since the schema
// library is not small.

import * as z from 'zod'
import { nearest } from '../base/suggest.ts'
import type { JsonSchema } from '../base/schema.ts'
import {
  batchKeys,
  type ChoiceRows,
  dataKeys,
  evaluationKeys,
  ewcKeys,
  type Key,
  type Keys,
  kindKeys,
  type ManifestTables,
  scheduleKeys,
  teacherKeys,
  topKeys,
} from './keys.ts'
import type { ManifestProblem } from './training-manifest.ts'

type Schema = z.ZodType

/** 'expected a, b', with the name that was probably meant. */
function expectation(expected: string, got: unknown, names: readonly unknown[]): string {
  const words = names.filter((name) => typeof name === 'string')
  const meant = typeof got === 'string' ? nearest(got, words) : undefined
  return `expected ${expected}${meant === undefined ? '' : `. Did you mean ${meant}?`}`
}

const namesIn = (schema: JsonSchema): readonly unknown[] =>
  (schema['enum'] as readonly unknown[] | undefined) ?? []

/** For a list the entry that is wrong, for anything else the value. */
function wrongPart(
  value: unknown,
  { schema, is }: Key['field'],
): { got: unknown; names: readonly unknown[] } {
  const items = schema['items'] as JsonSchema | undefined
  if (!items || !Array.isArray(value)) return { got: value, names: namesIn(schema) }
  return { got: value.find((item) => !is([item])), names: namesIn(items) }
}

function valueOf({ field, about, required }: Key): Schema {
  const said = (issue: { readonly input?: unknown }): string => {
    const { got, names } = wrongPart(issue.input, field)
    return expectation(field.expected, got, names)
  }
  const value = z
    .unknown()
    .refine(field.is, { error: said })
    .meta({ ...field.schema, description: about })
  return required ? value : value.optional()
}

const valuesOf = (keys: Keys): Record<string, Schema> =>
  Object.fromEntries(Object.entries(keys).map(([name, key]) => [name, valueOf(key)]))

/** A map with these keys and no other. */
function mapOf(shape: Record<string, Schema>, about: string) {
  const names = Object.keys(shape)
  const error = (issue: {
    readonly code?: string | undefined
    readonly keys?: unknown
  }): string => {
    if (issue.code !== 'unrecognized_keys') return `expected a map with ${names.join(', ')}`
    // One line for each key, in the order in which the library names them.
    return (issue.keys as readonly string[])
      .map((key) => expectation(`one of ${names.join(', ')}`, key, names))
      .join('\n')
  }
  return z.strictObject(shape, { error }).describe(about)
}

/**
 * A row by its name, or a map with the name and options: 'cosine' or { name: cosine, epochs: 3 }.
 */
function choiceOf(rows: ChoiceRows, shared: Keys, about: string, usual: string): Schema {
  const names = [...rows.keys()]
  const listed = (issue: { readonly input?: unknown }): string => {
    const { input } = issue
    const got = typeof input === 'object' && input !== null && 'name' in input ? input.name : input
    return expectation(`one of ${names.join(', ')}`, got, names)
  }
  const maps = [...rows].map(([name, row]) => {
    const literal = z.literal(name).describe(row.about ?? about)
    return mapOf(
      {
        name: name === usual ? literal.optional() : literal,
        ...valuesOf({ ...shared, ...row.options }),
      },
      about,
    )
  })
  const [first, ...others] = maps
  const map = z.discriminatedUnion('name', [first!, ...others], { error: listed })
  return z.union([z.enum(names), map], { error: listed }).describe(about)
}

/** What a manifest may be, by the tables of this version. */
export function manifestSchema(tables: ManifestTables): Schema {
  const kinds = new Map(
    [...tables.kinds].map(([name, { options }]) => [name, { options: kindKeys(options) }]),
  )
  const { base, out, targets, ...others } = valuesOf(topKeys(tables))
  return mapOf(
    {
      base: base!,
      out: out!,
      kind: choiceOf(kinds, {}, 'the kind of adapter, and its options', 'lora').optional(),
      targets: targets!,
      data: mapOf(valuesOf(dataKeys(tables)), 'what is learned'),
      batch: mapOf(valuesOf(batchKeys(tables)), 'how much is learned at once').optional(),
      schedule: choiceOf(
        tables.schedules,
        scheduleKeys(tables),
        'how long, and how the learning rate moves',
        'cosine',
      ).optional(),
      optimizer: choiceOf(
        tables.optimizers,
        tables.settings.optimizer,
        'the rule of a step, and its options',
        'adamw',
      ).optional(),
      loss: choiceOf(
        tables.losses,
        {},
        'what is made small, and its options',
        'cross-entropy',
      ).optional(),
      teacher: mapOf(valuesOf(teacherKeys), 'who is imitated, by the loss distillation').optional(),
      ewc: mapOf(
        valuesOf(ewcKeys(tables)),
        'protects what earlier tasks need, and measures what this one does',
      ).optional(),
      evaluation: mapOf(
        valuesOf(evaluationKeys(tables)),
        'what is measured after the training',
      ).optional(),
      ...others,
    } as Record<string, Schema>,
    'an expert, as graft train makes it',
  )
}

/** The schema for editors, as JSON Schema (draft 7). */
export const manifestJsonSchema = (tables: ManifestTables): object => ({
  $schema: 'http://json-schema.org/draft-07/schema#',
  title: 'A Graft expert',
  ...z.toJSONSchema(manifestSchema(tables), { target: 'draft-7', io: 'input' }),
})

type Issue = z.core.$ZodIssue
type Path = readonly (string | number)[]

/** Everything that is wrong with a manifest; empty where nothing is. */
export function manifestProblems(value: unknown, tables: ManifestTables): ManifestProblem[] {
  const schema = manifestSchema(tables)
  const check = (given: unknown): ManifestProblem[] => {
    const result = schema.safeParse(given)
    return result.success
      ? []
      : result.error.issues.flatMap((issue) => problemsOf(issue, [], given))
  }
  const problems = check(value)
  // Where a row's name is wrong, its section cannot be told by it: what the other keys hold is
  // checked as for the usual row, their names are not.
  const misnamed = problems
    .filter(({ path }) => path.length === 2 && path[1] === 'name')
    .map(({ path }) => String(path[0]))
  if (misnamed.length === 0) return problems
  const others = check(unnamed(value as Record<string, object>, misnamed)).filter(
    ({ path, message }) => misnamed.includes(String(path[0])) && !message.startsWith(unknownKey),
  )
  return [...problems, ...others]
}

const unnamed = (value: Readonly<Record<string, object>>, sections: readonly string[]): object => ({
  ...value,
  ...Object.fromEntries(
    sections.map((section) => [section, { ...value[section], name: undefined }]),
  ),
})

const unknownKey = 'is not known'

const at = (value: unknown, path: Path): unknown =>
  path.reduce<unknown>(
    (part, key) =>
      part === null || part === undefined
        ? undefined
        : (part as Record<string | number, unknown>)[key],
    value,
  )

function problemsOf(issue: Issue, above: Path, whole: unknown): ManifestProblem[] {
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
    return deeper.flatMap((error) => problemsOf(error as Issue, path, whole))
  return [{ path, message: `${found(at(whole, path))}; ${issue.message}` }]
}

function found(value: unknown): string {
  if (value === undefined) return 'is missing'
  if (value === null) return 'is empty'
  const json = JSON.stringify(value)
  return `is ${json.length > 80 ? `${json.slice(0, 80)}…` : json}`
}
