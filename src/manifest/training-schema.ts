// Checks training manifests against the table of their keys, and writes the same table as JSON
// Schema for editors.

import {
  describeValue as describeJson,
  type Field,
  isRecord,
  type JsonSchema,
  listOf,
  oneOf,
} from '../base/schema.ts'
import { findNearestName } from '../base/suggest.ts'
import {
  defineTrainingManifest,
  type ManifestChoiceKey,
  type ManifestKey,
  type ManifestSection,
  type ManifestTables,
} from './training-keys.ts'
import type { ManifestProblem } from './training-manifest.ts'

type Path = readonly string[]

/** Everything that is wrong with a training manifest; empty where nothing is. */
export const findManifestProblems = (value: unknown, tables: ManifestTables): ManifestProblem[] =>
  findSectionProblems(value, defineTrainingManifest(tables, needsData(value)), [])

const needsData = (value: unknown): boolean => !isRecord(value) || value['role'] === undefined

/** The schema for editors, as JSON Schema (draft 7). */
export const createTrainingJsonSchema = (tables: ManifestTables): object => ({
  $schema: 'http://json-schema.org/draft-07/schema#',
  title: 'Graft training manifest',
  ...describeSection(defineTrainingManifest(tables, false)),
  anyOf: [
    { required: ['data'], properties: { data: { required: ['files'] } } },
    { required: ['role'] },
  ],
})

function findKeyProblems(value: unknown, key: ManifestKey, path: Path): ManifestProblem[] {
  if ('is' in key) return findFieldProblems(value, key, path)
  return 'keys' in key
    ? findSectionProblems(value, key, path)
    : findChoiceProblems(value, key, path)
}

function findFieldProblems(value: unknown, field: Field, path: Path): ManifestProblem[] {
  if (field.is(value)) return []
  const { got, names } = findWrongPart(value, field)
  return [
    {
      path,
      message: `${describeValue(value)}, ${describeExpectation(field.expected, got, names)}`,
    },
  ]
}

function findSectionProblems(
  value: unknown,
  { keys, required = [] }: ManifestSection,
  path: Path,
): ManifestProblem[] {
  const names = Object.keys(keys)
  if (!isRecord(value))
    return [{ path, message: `${describeValue(value)}, expected a map with ${names.join(', ')}` }]
  const wrong = Object.entries(keys).flatMap(([name, key]) =>
    value[name] === undefined && !required.includes(name)
      ? []
      : findKeyProblems(value[name], key, [...path, name]),
  )
  const unknown = Object.keys(value)
    .filter((name) => !Object.hasOwn(keys, name))
    .map((name) => ({
      path: [...path, name],
      message: `there is no such key, ${describeExpectation(`one of ${names.join(', ')}`, name, names)}`,
    }))
  return [...wrong, ...unknown]
}

function findChoiceProblems(
  value: unknown,
  { rows, usual, join }: ManifestChoiceKey,
  path: Path,
): ManifestProblem[] {
  const names = [...rows.keys()]
  const name = isRecord(value) ? (value['name'] ?? usual) : value
  const row = typeof name === 'string' ? rows.get(name) : undefined
  if (join && Array.isArray(name)) return findJointProblems(value, name, { rows, join }, path)
  const misnamed = (at: Path): ManifestProblem => ({
    path: at,
    message: `${describeValue(name)}, ${describeExpectation(`one of ${names.join(', ')}`, name, names)}`,
  })
  if (!isRecord(value)) return row ? [] : [misnamed(path)]
  if (row) return findSectionProblems(value, withName(row, oneOf(names)), path)
  // The name is wrong, so the allowed keys are unknown: keys of the default row are checked, other
  // keys are ignored.
  const known = Object.entries(rows.get(usual)!.keys).filter(([key]) => value[key] !== undefined)
  return [
    misnamed([...path, 'name']),
    ...known.flatMap(([key, field]) => findKeyProblems(value[key], field, [...path, key])),
  ]
}

/** Problems of a list of rows that act as one, or of a map with such a list as its name. */
function findJointProblems(
  value: unknown,
  list: readonly unknown[],
  { rows, join }: Required<Pick<ManifestChoiceKey, 'rows' | 'join'>>,
  path: Path,
): ManifestProblem[] {
  const names = listOf(oneOf([...rows.keys()]))
  const at = isRecord(value) ? [...path, 'name'] : path
  const wrong = findFieldProblems(list, names, at)
  if (wrong.length > 0 || !isRecord(value)) return wrong
  const chosen = new Map(list.map((name) => [name as string, rows.get(name as string)!]))
  return findSectionProblems(value, withName(join(chosen), names), path)
}

const withName = ({ keys, ...section }: ManifestSection, name: Field): ManifestSection => ({
  ...section,
  keys: { name, ...keys },
})

/** 'expected a, b', with the name that was probably meant. */
function describeExpectation(expected: string, got: unknown, names: readonly unknown[]): string {
  const words = names.filter((name) => typeof name === 'string')
  const meant = typeof got === 'string' ? findNearestName(got, words) : undefined
  return `expected ${expected}${meant === undefined ? '' : `. Did you mean ${meant}?`}`
}

/** Of a list the entry that is wrong, of anything else the value; and the names there are. */
function findWrongPart(
  value: unknown,
  { schema, is }: Field,
): { got: unknown; names: readonly unknown[] } {
  const items = schema['items'] as JsonSchema | undefined
  if (!items || !Array.isArray(value)) return { got: value, names: listNames(schema) }
  return { got: value.find((item) => !is([item])), names: listNames(items) }
}

const listNames = (schema: JsonSchema): readonly unknown[] =>
  (schema['enum'] as readonly unknown[] | undefined) ?? []

function describeValue(value: unknown): string {
  if (value === undefined) return 'is missing'
  return value === null ? 'is empty' : `got ${describeJson(value)}`
}

function describeKey(key: ManifestKey): JsonSchema {
  if ('is' in key) return { ...key.schema, description: key.about ?? key.expected }
  return 'keys' in key ? describeSection(key) : describeChoice(key)
}

const describeSection = ({ keys, required, about }: ManifestSection): JsonSchema => ({
  type: 'object',
  properties: Object.fromEntries(
    Object.entries(keys).map(([name, key]) => [name, describeKey(key)]),
  ),
  ...(required && { required }),
  additionalProperties: false,
  description: about,
})

function describeChoice({ rows, usual, about, join }: ManifestChoiceKey): JsonSchema {
  const maps = [...rows].map(([name, { about: aboutRow, keys }]) => {
    const { properties, ...map } = describeSection({ keys, about }) as {
      readonly properties: object
    }
    const constant = { type: 'string', const: name, description: aboutRow }
    return {
      ...map,
      properties: { name: constant, ...properties },
      ...(name !== usual && { required: ['name'] }),
    }
  })
  const names = { type: 'string', enum: [...rows.keys()] }
  if (!join) return { anyOf: [names, { oneOf: maps }], description: about }
  const list = { type: 'array', items: names, minItems: 2 }
  const joint = describeSection(join(rows)) as { readonly properties: object }
  const jointMap = Object.assign({}, joint, {
    properties: Object.assign({ name: list }, joint.properties),
    required: ['name'],
  })
  return { anyOf: [names, { oneOf: [...maps, jointMap] }, list], description: about }
}
