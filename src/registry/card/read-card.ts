// Reads the head of a card (README.md of the hub), which is untrusted YAML: no aliases, no tags of
// types, no depth, each key once.

import type { Document, Node, visit as Visit } from 'yaml'
import { FormatError } from '../../base/errors.ts'
import { describeValue, isRecord } from '../../base/schema.ts'
import { joinProblems, quoteName } from '../../formats/quote.ts'
import { isExpertName } from '../manifest/manifest-fields.ts'

/** The parts of a card that describe an expert. */
export interface CardNotes {
  readonly baseModel?: string
  readonly license?: string
  readonly tags?: readonly string[]
  readonly datasets?: readonly string[]
  /** By metric, of `model-index`. */
  readonly scores?: Readonly<Record<string, number>>
}

const mostCharacters = 2 ** 20
const mostHeadCharacters = 2 ** 18
const deepest = 32

/** The contents of a card; empty if it has no head. Throws FormatError with everything wrong. */
export async function readModelCard(text: string, name: string): Promise<CardNotes> {
  if (text.length > mostCharacters)
    throw new FormatError(
      `${name}: has ${text.length} characters, expected at most ${mostCharacters}.`,
    )
  const [, head] =
    /^\uFEFF?---[ \t]*\r?\n([\s\S]*?)(?:^|\r?\n)---[ \t]*(?:\r?\n|$)/.exec(text) ?? []
  if (head === undefined) return {}
  const data = await parseHead(head, name)
  if (data === null || data === undefined) return {}
  if (!isRecord(data))
    throw new FormatError(`${name}: its head is ${describeValue(data)}, expected keys.`)
  return selectNotes(data, name)
}

async function parseHead(head: string, name: string): Promise<unknown> {
  const refuse = (reason: string, cause?: unknown): FormatError =>
    new FormatError(`${name}: its head cannot be read: ${reason}.`, { cause })
  if (head.length > mostHeadCharacters)
    throw refuse(`has ${head.length} characters, expected at most ${mostHeadCharacters}`)
  if (isDeep(head)) throw refuse(`nests more than ${deepest} deep`)
  const { parseDocument, visit } = await import('yaml')
  try {
    const document = parseDocument(head, {
      prettyErrors: false,
      stringKeys: true,
      resolveKnownTags: false,
      merge: false,
      logLevel: 'silent',
    })
    const [error] = document.errors
    if (error) throw refuse(`is not YAML: ${error.message.slice(0, 200)}`, error)
    const problem = findHostileNode(document, visit)
    if (problem !== undefined) throw refuse(problem)
    return document.toJS({ maxAliasCount: 0 }) as unknown
  } catch (cause) {
    if (cause instanceof FormatError) throw cause
    throw refuse(
      cause instanceof RangeError ? `nests more than ${deepest} deep` : String(cause),
      cause,
    )
  }
}

/** Before it is parsed: brackets, or dashes of lists on one line, one within the other. */
function isDeep(head: string): boolean {
  let depth = 0
  for (const char of head) {
    if (char === '[' || char === '{') depth++
    else if (char === ']' || char === '}') depth = Math.max(0, depth - 1)
    if (depth > deepest) return true
  }
  return (
    new RegExp(`^[ ]*(?:[-?:][ \\t]+){${deepest}}`, 'm').test(head) ||
    head.split('\n').some((line) => /^ */.exec(line)![0].length > 4 * deepest)
  )
}

/** Of YAML's core schema; !!js/function and other types are not among them. */
const plainTags = /^tag:yaml\.org,2002:(str|int|float|bool|null|map|seq)$/

function findHostileNode(document: Document.Parsed, visit: typeof Visit): string | undefined {
  let problem: string | undefined
  visit(document, {
    Alias: () => {
      problem = 'contains an alias (*), which could expand to any size'
      return visit.BREAK
    },
    Node: (_, node: Node) => {
      if (node.tag === undefined || plainTags.test(node.tag)) return undefined
      problem = `contains the tag ${quoteName(node.tag)}, which asks for a custom type`
      return visit.BREAK
    },
  })
  return problem
}

function selectNotes(data: Readonly<Record<string, unknown>>, name: string): CardNotes {
  const problems: string[] = []
  const readTexts = (key: string): string[] | undefined => {
    const value = data[key]
    if (value === undefined || value === null) return undefined
    const list = Array.isArray(value) ? (value as unknown[]) : [value]
    const texts = list.filter((text): text is string => typeof text === 'string' && isLine(text))
    if (texts.length !== list.length)
      problems.push(`${key}: got ${describeValue(value)}, expected texts of one line`)
    return texts
  }
  const [baseModel] = readTexts('base_model') ?? []
  const [named] = readTexts('license_name') ?? []
  const [license] = readTexts('license') ?? []
  const tags = readTexts('tags')?.filter((tag) => isExpertName(tag))
  const datasets = readTexts('datasets')
  const scores = readScores(data['model-index'])
  if (problems.length > 0)
    throw new FormatError(`${name}: its head has wrong values:\n${joinProblems(problems)}`)
  return {
    ...(baseModel !== undefined && { baseModel }),
    ...(license !== undefined && { license: license === 'other' ? (named ?? license) : license }),
    ...(tags && tags.length > 0 && { tags }),
    ...(datasets && datasets.length > 0 && { datasets }),
    ...(scores && { scores }),
  }
}

const isLine = (text: string): boolean => text.length <= 500 && !/\p{Cc}/u.test(text)

/** The first number of each metric; what is no result is passed over. */
function readScores(index: unknown): Record<string, number> | undefined {
  const scores = new Map<string, number>()
  for (const model of asList(index))
    for (const result of asList(isRecord(model) ? model['results'] : undefined))
      for (const metric of asList(isRecord(result) ? result['metrics'] : undefined)) {
        const { type, value } = isRecord(metric) ? metric : {}
        if (typeof type === 'string' && isLine(type) && typeof value === 'number')
          if (Number.isFinite(value) && !scores.has(type)) scores.set(type, value)
      }
  return scores.size === 0 ? undefined : Object.fromEntries(scores)
}

const asList = (value: unknown): readonly unknown[] => (Array.isArray(value) ? value : [])
