// A JSON Schema as a document: every part checked, its place known, references resolved.

import { GrammarError } from '../../../base/errors.ts'
import { describeValue, isRecord } from '../../../base/schema.ts'
import type { SchemaValue } from '../grammar-choice.ts'
import { type Keyword, keywords } from './keywords.ts'

export type SchemaObject = Readonly<Record<string, unknown>>

/** Schemas within schemas at most. */
const MOST_DEPTH = 100
const MOST_SHOWN = 8

const what = 'The JSON Schema'

const encodePointer = (key: string): string =>
  encodeURI(key.replaceAll('~', '~0').replaceAll('/', '~1'))

const decodePointer = (part: string): string =>
  decodeURIComponent(part).replaceAll('~1', '/').replaceAll('~0', '~')

export class SchemaDocument {
  readonly root: SchemaValue
  readonly #places = new Map<object, string>()
  readonly #anchors = new Map<string, SchemaObject>()
  readonly #problems: { readonly place: string; readonly problem: string }[] = []

  /** Throws GrammarError that names the place of everything that is wrong. */
  constructor(root: SchemaValue) {
    this.root = root
    this.#visit(root, '#', 0)
    const [first, ...others] = this.#problems
    if (!first) return
    const more = others
      .slice(0, MOST_SHOWN)
      .map(({ place, problem }) => `\n  ${place}: ${problem}`)
      .join('')
    throw new GrammarError(what, first.place, first.problem + more)
  }

  /** The path of a part: '#/properties/age'. Merged schemas occur where their first part does. */
  placeOf(schema: object): string {
    return this.#places.get(schema) ?? '#'
  }

  keepPlace<Of extends object>(schema: Of, like: object): Of {
    this.#places.set(schema, this.placeOf(like))
    return schema
  }

  error(schema: object, problem: string, key?: string): GrammarError {
    const at = this.placeOf(schema)
    return new GrammarError(what, key === undefined ? at : `${at}/${encodePointer(key)}`, problem)
  }

  /** The schema that a reference names. */
  resolve(schema: SchemaObject): SchemaValue {
    const reference = schema['$ref'] as string
    const found = reference.startsWith('#')
      ? this.#find(reference.slice(1))
      : this.#anchors.get(reference)
    if (typeof found === 'boolean' || isRecord(found)) return found
    const problem = reference.startsWith('#')
      ? `there is no schema at ${reference}`
      : `got ${JSON.stringify(reference)}, expected a place in this document (#/…): nothing is fetched`
    throw this.error(schema, problem, '$ref')
  }

  #find(path: string): unknown {
    if (path === '') return this.root
    if (!path.startsWith('/')) return this.#anchors.get(`#${path}`)
    return path
      .slice(1)
      .split('/')
      .map(decodePointer)
      .reduce<unknown>(
        (value, part) =>
          isRecord(value) && Object.hasOwn(value, part)
            ? value[part]
            : Array.isArray(value)
              ? (value[Number(part)] as unknown)
              : undefined,
        this.root,
      )
  }

  #visit(schema: unknown, place: string, depth: number): void {
    if (typeof schema === 'boolean') return
    if (!isRecord(schema)) {
      this.#report(place, `got ${describeValue(schema)}, expected a schema`)
      return
    }
    if (this.#places.has(schema)) return // one object in two places
    this.#places.set(schema, place)
    if (depth > MOST_DEPTH) {
      this.#report(place, `over ${MOST_DEPTH} schemas within each other`)
      return
    }
    for (const name of ['$anchor', '$dynamicAnchor', '$id']) {
      const anchor = schema[name]
      if (typeof anchor === 'string')
        this.#anchors.set(name === '$id' ? anchor : `#${anchor}`, schema)
    }
    for (const [key, value] of Object.entries(schema)) {
      const keyword = Object.hasOwn(keywords, key) ? keywords[key]! : undefined
      if (!keyword) continue // an annotation
      const at = `${place}/${encodePointer(key)}`
      if (!keyword.is(value))
        this.#report(at, `got ${describeValue(value)}, expected ${keyword.expected}`)
      else
        for (const [part, path] of listSchemas(keyword, value))
          this.#visit(part, at + path, depth + 1)
    }
  }

  #report(place: string, problem: string): void {
    this.#problems.push({ place, problem })
  }
}

/** The schemas in a keyword's value, each with the rest of its place. */
function listSchemas({ schemas }: Keyword, value: unknown): (readonly [unknown, string])[] {
  if (schemas === undefined) return []
  if (schemas === 'one' || (schemas === 'one-or-list' && !Array.isArray(value)))
    return [[value, '']]
  if (Array.isArray(value)) return value.map((part, i) => [part, `/${i}`] as const)
  return Object.entries(value as SchemaObject)
    .filter(([, part]) => schemas !== 'map-or-names' || !Array.isArray(part))
    .map(([name, part]) => [part, `/${encodePointer(name)}`] as const)
}
