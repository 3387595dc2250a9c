// Reads, checks and writes an expert's manifest, expert.json.

import { FormatError, UnsupportedError } from '../../base/errors.ts'
import {
  describeFields,
  describeUnknownOption,
  describeValue,
  findValueProblems,
  isRecord,
} from '../../base/schema.ts'
import { findJsonProblem } from '../../formats/json-problem.ts'
import { joinProblems } from '../../formats/quote.ts'
import { type ExpertManifest, expertFields, manifestLayout, neededKeys } from './manifest-fields.ts'

export type { ExpertManifest } from './manifest-fields.ts'

/** The file's name in an expert's folder. */
export const manifestFile = 'expert.json'

const deepest = 32
const mostBytes = 2 ** 20

/** Everything that is wrong with a manifest; empty where nothing is. */
export function findExpertProblems(value: unknown): string[] {
  if (!isRecord(value)) return [`got ${describeValue(value)}, expected an object`]
  const names = Object.keys(expertFields)
  const unknown = Object.keys(value)
    .filter((name) => !Object.hasOwn(expertFields, name))
    .map((name) =>
      describeUnknownOption(name, names).replace('there is no option', 'there is no key'),
    )
  const missing = neededKeys
    .filter((name) => value[name] === undefined)
    .map((name) => `${name}: is missing, expected ${expertFields[name].expected}`)
  const wrong = findValueProblems(value, expertFields)
  return [...unknown, ...missing, ...wrong, ...(wrong.length > 0 ? [] : findGaps(value))]
}

/** Parts without which a score or a data set has no meaning. */
function findGaps(value: Readonly<Record<string, unknown>>): string[] {
  const { scores = {}, data = [], base } = value as unknown as ExpertManifest
  return [
    ...Object.entries(scores).flatMap(([metric, score]) =>
      score.value === undefined ? [`scores.${metric}.value: is missing, expected a number`] : [],
    ),
    ...data.flatMap(({ name }, i) =>
      name === undefined ? [`data[${i}].name: is missing, expected a string`] : [],
    ),
    ...(base && base.id === undefined && base.sha256 === undefined
      ? ['base: expected an id or a sha256, because otherwise its base is not known']
      : []),
  ]
}

/**
 * Reads a manifest's text. Throws FormatError with everything that is wrong, UnsupportedError for a
 * newer layout.
 */
export function parseExpertManifest(text: string, name: string): ExpertManifest {
  if (text.length > mostBytes)
    throw new FormatError(`${name}: has ${text.length} characters, expected at most ${mostBytes}.`)
  const problem = findJsonProblem(text, deepest)
  if (problem !== undefined) throw new FormatError(`${name}: ${problem}.`)
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch (cause) {
    throw new FormatError(`${name}: is not JSON.`, { cause })
  }
  checkExpertManifest(value, name)
  return value
}

/** Throws FormatError with everything that is wrong, UnsupportedError for a newer layout. */
export function checkExpertManifest(value: unknown, name: string): asserts value is ExpertManifest {
  const layout = isRecord(value) ? value['layout'] : undefined
  if (typeof layout === 'number' && layout > manifestLayout)
    throw new UnsupportedError(
      `${name}: has layout ${layout}, and this version of Graft reads up to ${manifestLayout}. Update Graft to read it.`,
    )
  const problems = findExpertProblems(value)
  if (problems.length > 0)
    throw new FormatError(
      `${name}: is not the manifest of an expert:\n${joinProblems(problems, 32)}`,
    )
}

/** The manifest as in the file, keys in the order of the table. Throws as the check does. */
export function formatExpertManifest(manifest: ExpertManifest): string {
  checkExpertManifest(manifest, manifestFile)
  const given = manifest as unknown as Readonly<Record<string, unknown>>
  const ordered = Object.keys(expertFields).flatMap((key) =>
    given[key] === undefined ? [] : [[key, given[key]] as const],
  )
  return `${JSON.stringify(Object.fromEntries(ordered), null, 2)}\n`
}

/** The schema for editors, as JSON Schema (draft 7). */
export const createExpertJsonSchema = (): object => ({
  $schema: 'http://json-schema.org/draft-07/schema#',
  title: 'Graft expert manifest',
  ...describeFields(expertFields),
  required: neededKeys,
})
