// The keys of an expert's manifest (expert.json): what each may hold, and a sentence that editors
// show. Checks, JSON Schema and types read these rows.

import {
  createField,
  either,
  type GivenOptions,
  integer,
  listOf,
  mapOf,
  number,
  object,
  oneOf,
  record,
  string,
  withInfo,
} from '../../base/schema.ts'

/** The layout that this version writes. */
export const manifestLayout = 1

const longestName = 128
const namePattern = new RegExp(`^[A-Za-z0-9][A-Za-z0-9._-]{0,${longestName - 1}}$`)

/** A name that is safe in a path, in a line of a log and on a command line. */
export const isExpertName = (value: unknown): value is string =>
  typeof value === 'string' && namePattern.test(value) && !value.includes('..')

// https://semver.org, its own pattern without build metadata, which would not order versions
const versionPattern =
  /^(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)(-(0|[1-9]\d*|\d*[A-Za-z-][0-9A-Za-z-]*)(\.(0|[1-9]\d*|\d*[A-Za-z-][0-9A-Za-z-]*))*)?$/

const isVersion = (value: unknown): value is string =>
  typeof value === 'string' && value.length <= longestName && versionPattern.test(value)

// Unicode's category Cc: all but tab and line feed
const isPlainText = (value: unknown): value is string =>
  typeof value === 'string' && !/\p{Cc}/u.test(value.replace(/[\t\n]/g, ''))

/** Control codes could forge lines of a log or of a terminal. */
const plainText = createField<string>(
  'a string without control codes',
  { type: 'string' },
  isPlainText,
)

const word = createField<string>(
  'letters, digits, ".", "_" and "-"',
  { type: 'string', pattern: namePattern.source },
  isExpertName,
)

const hash = createField<string>(
  'a SHA-256 in 64 hexadecimal digits',
  { type: 'string', pattern: '^[0-9a-f]{64}$' },
  (value) => typeof value === 'string' && /^[0-9a-f]{64}$/.test(value),
)

const time = createField<string>(
  'a time such as "2026-11-30T09:00:00Z"',
  { type: 'string', format: 'date-time' },
  (value) =>
    typeof value === 'string' &&
    /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)$/.test(value) &&
    !Number.isNaN(Date.parse(value)),
)

const filled = string({ filled: true })

const score = object({
  value: number(),
  /** The ends of its 95 % interval. */
  low: number(),
  high: number(),
  /** Rows that it was measured on. */
  rows: integer({ from: 1 }),
  /** The name of the data that it was measured on. */
  data: plainText,
})

const dataSet = object({
  name: plainText,
  sha256: hash,
  rows: integer({ from: 0 }),
  license: plainText,
})

const version = createField<string>(
  'a semantic version such as "1.2.0"',
  { type: 'string', pattern: versionPattern.source },
  isVersion,
)

/** An expert that it was made from. */
const source = object({ id: word, version, sha256: hash })

const figures = object({
  adapterBytes: integer({ from: 0 }),
  residentBytes: integer({ from: 0 }),
  firstTokenMs: number({ from: 0 }),
  tokensPerSecond: number({ from: 0 }),
  machine: plainText,
})

export const expertTiers = ['ultralight', 'medium', 'heavy'] as const

export const expertFields = {
  $schema: filled,
  layout: integer({ from: 1, about: 'The layout of this file.' }),
  id: createField<string>(
    `a name of at most ${longestName} letters, digits, ".", "_" and "-"`,
    { type: 'string', pattern: namePattern.source },
    isExpertName,
    { about: 'The name that the expert is asked for by.' },
  ),
  version: withInfo(version, {
    about: 'The semantic version; a version never changes once it is published.',
  }),
  name: plainText,
  description: plainText,
  kind: either(word, listOf(word, { least: 1 }), {
    about: 'The kind of the adapter; a list where several act together.',
  }),
  tier: oneOf(expertTiers, { about: 'How much it takes: ultralight, medium or heavy.' }),
  base: object(
    { id: plainText, sha256: hash, digest: hash },
    {
      about:
        'The base it was trained on: the name it was loaded by, the hash of its tensors, and the root digest of its files (OMS).',
    },
  ),
  targets: either(filled, listOf(filled), { about: 'The modules that it changes.' }),
  data: listOf(dataSet, { about: 'What it was trained on.' }),
  scores: mapOf(score, { about: 'By metric, each with its 95 % interval.' }),
  created: time,
  modified: time,
  tags: listOf(word),
  domains: listOf(word),
  routing: object(
    { keywords: listOf(plainText), examples: listOf(plainText) },
    { about: 'What a router may go by.' },
  ),
  system: string({ about: 'The system message that it was trained with.' }),
  date: filled,
  chatTemplate: createField<string>(
    'the name of a file in the folder',
    { type: 'string' },
    isFileName,
    { about: 'A file in the folder; it replaces the base’s template.' },
  ),
  grammar: record,
  figures,
  author: plainText,
  license: plainText,
  provenance: object(
    { command: plainText, seed: integer(), versions: mapOf(plainText), sources: listOf(source) },
    { about: 'How it was made: command, seed, versions of programs, experts it was made from.' },
  ),
  fallback: object(
    { expert: word, to: oneOf(['base']) },
    { about: 'Answers in its place if it cannot: another expert, or the base.' },
  ),
  custom: record,
}

function isFileName(value: unknown): boolean {
  return (
    typeof value === 'string' &&
    isPlainText(value) &&
    !/[\\/]/.test(value) &&
    !/^\.{0,2}$/.test(value)
  )
}

type ManifestValues = GivenOptions<typeof expertFields>

/** An expert's metadata, for registries, routers and people. */
export interface ExpertManifest extends ManifestValues {
  readonly layout: number
  readonly id: string
  readonly version: string
  readonly kind: string | readonly string[]
  readonly base: { readonly id?: string; readonly sha256?: string; readonly digest?: string }
}

/** Keys without which a manifest is none. */
export const neededKeys = ['layout', 'id', 'version', 'kind', 'base'] as const
