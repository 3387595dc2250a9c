// The file of a router: which kind, for which experts and which base, and the kind's own state.
// Every key is checked before the file is used.

import { FormatError, OptionError, UnsupportedError } from '../base/errors.ts'
import {
  createField,
  describeFields,
  describeValue,
  findOptionProblems,
  type GivenOptions,
  integer,
  isRecord,
  joinProblems,
  listOf,
  number,
  object,
  oneOf,
  record,
  string,
} from '../base/schema.ts'

/** The version that is written; older ones are read. */
export const routerFileVersion = 1

const hash = createField<string>(
  'a SHA-256 in 64 hexadecimal digits',
  { type: 'string', pattern: '^[0-9a-f]{64}$' },
  (value) => typeof value === 'string' && /^[0-9a-f]{64}$/.test(value),
)
const filled = string({ filled: true })

/**
 * The calibration that turns scores into a confidence, and the least confidence for an expert to
 * answer.
 */
export const calibrationFields = {
  temperature: number({ above: 0, about: 'Scores are divided by it before the softmax.' }),
  threshold: number({ from: 0, to: 1, about: 'Below this confidence the base answers.' }),
  escalateBelow: number({
    from: 0,
    to: 1,
    about: 'Below this confidence the request goes upstream, where an upstream is set.',
  }),
  signals: listOf(number(), {
    about: 'Weights of the signals of doubt that the kind computes; the last is the constant.',
  }),
  error: number({ from: 0, to: 1, about: 'Expected calibration error on the held-out prompts.' }),
  rows: integer({ from: 0, about: 'Held-out prompts that it was fitted on.' }),
}

export const routerFields = {
  $schema: filled,
  format: oneOf(['graft-router'], { about: 'What this file is.' }),
  version: integer({ from: 1, about: 'The version of this file’s form.' }),
  kind: string({ filled: true, about: 'The kind of router, such as "embedding".' }),
  experts: listOf(object({ name: filled, sha256: hash }), {
    about: 'The experts that it chooses among: names, and the content hashes of their folders.',
  }),
  base: object(
    { id: filled, sha256: hash },
    { about: 'The base that the experts change: the name it is loaded by, and its hash.' },
  ),
  embedder: object(
    { sha256: filled, settings: record },
    { about: 'What turns prompts into vectors: a hash of the model, and how it is read.' },
  ),
  calibration: object(calibrationFields, { about: 'How scores become a confidence.' }),
  options: createField<Readonly<Record<string, unknown>>>(
    'an object',
    { type: 'object' },
    isRecord,
    { about: 'What it was trained with.' },
  ),
  trained: object(
    { rows: integer({ from: 0 }), held: integer({ from: 0 }), seed: integer() },
    { about: 'How many prompts it was trained on.' },
  ),
  state: createField<Readonly<Record<string, unknown>>>('an object', { type: 'object' }, isRecord, {
    about: 'What the kind decides by; arrays of numbers are in base64.',
  }),
}

export type Calibration = GivenOptions<typeof calibrationFields>

type RouterFileValues = GivenOptions<typeof routerFields>

export interface RouterFile extends RouterFileValues {
  readonly format: 'graft-router'
  readonly version: number
  readonly kind: string
  readonly experts: readonly { readonly name: string; readonly sha256?: string }[]
  readonly state: Readonly<Record<string, unknown>>
}

const neededKeys = ['format', 'version', 'kind', 'experts', 'state'] as const

/** All problems of a router's file; empty if there are none. */
export function findRouterProblems(value: unknown): string[] {
  if (!isRecord(value)) return [`got ${describeValue(value)}, expected an object`]
  const missing = neededKeys
    .filter((key) => value[key] === undefined)
    .map((key) => `${key}: is missing, expected ${routerFields[key].expected}`)
  const wrong = findOptionProblems(value, routerFields).map((problem) =>
    problem.replace('there is no option', 'there is no key'),
  )
  if (missing.length + wrong.length > 0) return [...missing, ...wrong]
  return findNameProblems((value as unknown as RouterFile).experts)
}

function findNameProblems(experts: RouterFile['experts']): string[] {
  const names = experts.map(({ name }) => name as string | undefined)
  return names.flatMap((name, i) => {
    if (name === undefined) return [`experts[${i}].name: is missing`]
    return names.indexOf(name) === i ? [] : [`experts[${i}]: two experts have the name "${name}"`]
  })
}

/** Throws FormatError with everything that is wrong, UnsupportedError for a newer version. */
export function checkRouterFile(value: unknown, name: string): asserts value is RouterFile {
  const version = isRecord(value) ? value['version'] : undefined
  if (typeof version === 'number' && version > routerFileVersion)
    throw new UnsupportedError(
      `${name}: is a router of version ${version}, and this version of Graft reads up to ${routerFileVersion}. Update Graft to read it.`,
    )
  const problems = findRouterProblems(value)
  if (problems.length > 0)
    throw new FormatError(`${name}: is not the file of a router: ${joinProblems(problems)}`)
}

/** Throws OptionError if two experts have one name, or there is none. */
export function checkExpertNames(names: readonly string[], what: string): void {
  const double = names.find((name, i) => names.indexOf(name) !== i)
  if (double !== undefined)
    throw new OptionError(`${what}: two experts have the name "${double}". Rename one of them.`)
  if (names.length === 0) throw new OptionError(`${what}: there are no experts to choose among.`)
}

/** The schema for editors, as JSON Schema (draft 7). */
export const createRouterJsonSchema = (): object => ({
  $schema: 'http://json-schema.org/draft-07/schema#',
  title: 'Graft router',
  ...describeFields(routerFields),
  required: neededKeys,
})
