// Reads training manifests from YAML (or JSON, which is YAML), applies overrides, and reports all
// problems at once with their lines.

import { readFile } from 'node:fs/promises'
import { basename } from 'node:path'
import type { Document, LineCounter, Node, Pair, YAMLMap } from 'yaml'
import { ManifestError, type ManifestFault, NotFoundError } from '../../base/errors.ts'
import { isRecord } from '../../base/schema.ts'
import type { ManifestProblem, TrainingManifest } from '../../manifest/training-manifest.ts'
import { findErrorCode, toStorageError } from '../files/system-errors.ts'

/** A value that overrides the file's; `key` as in 'schedule.epochs'. */
export interface ManifestOverride {
  readonly key: string
  readonly value: unknown
}

export interface ParsedManifest {
  readonly manifest: TrainingManifest
  readonly path: string
  /** Problems with the lines of their keys. */
  locateProblems(problems: readonly ManifestProblem[]): ManifestFault[]
}

type JsonObject = Record<string, unknown>

/**
 * Reads and checks a training manifest. Throws ManifestError that lists everything wrong,
 * NotFoundError if there is no such file.
 */
export async function readManifest(
  path: string,
  overrides: readonly ManifestOverride[] = [],
): Promise<ParsedManifest> {
  const [
    { LineCounter: Lines, parseDocument },
    { findManifestProblems },
    { collectManifestTables },
  ] = await Promise.all([
    import('yaml'),
    import('../../manifest/training-schema.ts'),
    import('./manifest-tables.ts'),
  ])
  const text = await readFile(path, 'utf8').catch((cause: unknown) => {
    if (findErrorCode(cause) === 'ENOENT')
      throw new NotFoundError(`${path}: there is no such file.`, { cause })
    throw toStorageError(`${path}: cannot be read`, cause)
  })
  const lines = new Lines()
  const document = parseDocument(text, {
    lineCounter: lines,
    prettyErrors: false,
    stringKeys: true,
  })
  if (document.errors.length > 0) {
    const said = document.errors.map(({ message, pos }) => ({
      file: path,
      key: '',
      line: lines.linePos(pos[0]).line,
      message: `is not YAML: ${message}`,
    }))
    throw new ManifestError(said)
  }
  const locateProblems = (problems: readonly ManifestProblem[]): ManifestFault[] =>
    problems
      .map((problem) => ({ file: path, ...locateProblem(problem, document, lines) }))
      .sort((a, b) => (a.line ?? 0) - (b.line ?? 0))
  const whole: unknown = document.toJS() ?? {}
  if (!isRecord(whole))
    throw new ManifestError(
      locateProblems([
        {
          path: [],
          message: 'contains no keys; expected a map such as "base: smollm2-135m-instruct"',
        },
      ]),
    )
  for (const override of overrides) applyOverride(whole, override)
  const problems = findManifestProblems(whole, collectManifestTables())
  if (problems.length > 0) throw new ManifestError(locateProblems(problems))
  return { manifest: whole as TrainingManifest, path, locateProblems }
}

/**
 * The name that an expert has where its manifest gives no folder: its file's, without the ending.
 */
export const getManifestName = (path: string): string =>
  basename(path).replace(/\.(ya?ml|json)$/i, '')

const choiceKeys = new Set(['kind', 'schedule', 'optimizer', 'loss'])
/** Choices whose options have little in common. */
const ownOptions = new Set(['kind', 'loss'])

/**
 * Sets one key. A choice given by its name becomes a map when an option is added; another name
 * drops the options of the old one.
 */
export function applyOverride(whole: JsonObject, { key, value }: ManifestOverride): void {
  const [section, option] = key.split('.') as [string, string | undefined]
  if (option === undefined) {
    whole[section] = value
    return
  }
  const before = whole[section]
  const map: JsonObject = isRecord(before)
    ? { ...before }
    : choiceKeys.has(section) && (typeof before === 'string' || Array.isArray(before))
      ? { name: before }
      : {}
  const isOther = ownOptions.has(section) && option === 'name' && map['name'] !== value
  whole[section] = isOther ? { name: value } : { ...map, [option]: value }
}

/** The line of the key that a problem is about, or of the nearest existing one above it. */
function locateProblem({ path, message }: ManifestProblem, document: Document, lines: LineCounter) {
  let node = document.contents as Node | null
  let offset: number | undefined
  for (const step of path) {
    const items = (node as YAMLMap | null)?.items
    const pair = items?.find(
      (item) =>
        (item as Pair<Node>).key !== undefined && String((item as Pair<Node>).key) === String(step),
    ) as Pair<Node, Node> | undefined
    const next = pair ?? (typeof step === 'number' ? items?.[step] : undefined)
    if (!next) break
    offset = (pair ? pair.key.range : (next as unknown as Node).range)?.[0] ?? offset
    node = pair ? pair.value : (next as unknown as Node)
  }
  return {
    key: path.join('.'),
    ...(offset === undefined ? {} : { line: lines.linePos(offset).line }),
    message,
  }
}
