// The log of a router: one row for each decision, with its inputs, its choice, the probability of
// that choice, and later the reward. Routers are trained and compared on such rows without
// answering requests again.

import { DataError } from '../../base/errors.ts'
import {
  createField,
  describeValue,
  findOptionProblems,
  type GivenOptions,
  isRecord,
  joinProblems,
  listOf,
  number,
  oneOf,
  string,
} from '../../base/schema.ts'
import { type NumberArray, readNumbers, writeNumbers } from '../features/number-array.ts'
import type { RouteDecision, RouteExample } from '../router.ts'

const filled = string({ filled: true })
const share = number({ from: 0, to: 1 })
const nameOrNull = createField<string | null>(
  'the name of an expert, or null for the base',
  { type: ['string', 'null'] },
  (value) => value === null || (typeof value === 'string' && value !== ''),
)
const object = createField<Readonly<Record<string, unknown>>>(
  'an object',
  { type: 'object' },
  isRecord,
)

/** The base's own name in rows is null, so null and missing values must be distinguished. */
const decisionFields = {
  type: oneOf(['decision']),
  id: filled,
  time: filled,
  kind: filled,
  /** A hash of the router's file. */
  router: filled,
  text: string(),
  session: filled,
  user: filled,
  choice: nameOrNull,
  confidence: share,
  propensity: number({ above: 0, to: 1 }),
  scores: listOf(
    createField<readonly [string, number]>('[expert, score]', { type: 'array' }, isScore),
  ),
  features: object,
  reason: string(),
  escalated: createField<boolean>(
    'true or false',
    { type: 'boolean' },
    (v) => typeof v === 'boolean',
  ),
}

const outcomeFields = {
  type: oneOf(['outcome']),
  id: filled,
  time: filled,
  reward: share,
  right: nameOrNull,
}

function isScore(value: unknown): boolean {
  return (
    Array.isArray(value) &&
    value.length === 2 &&
    typeof value[0] === 'string' &&
    Number.isFinite(value[1])
  )
}

interface DecisionRow extends GivenOptions<typeof decisionFields> {
  readonly type: 'decision'
  readonly id: string
  readonly kind: string
  readonly choice: string | null
  readonly confidence: number
  readonly propensity: number
}

interface OutcomeRow extends GivenOptions<typeof outcomeFields> {
  readonly type: 'outcome'
  readonly id: string
}

/** A decision and its outcome. */
export interface RouteLogRow {
  readonly id: string
  readonly kind: string
  readonly text: string | undefined
  readonly session: string | undefined
  readonly user: string | undefined
  /** undefined: the base. */
  readonly choice: string | undefined
  readonly confidence: number
  readonly propensity: number
  readonly scores: readonly (readonly [string, number])[]
  readonly features: Float32Array | undefined
  readonly reward: number | undefined
  /** The expert that would have been right; null: none; undefined: unknown. */
  readonly right: string | null | undefined
}

export interface DecisionRecord {
  readonly id: string
  /** ISO 8601. */
  readonly time: string
  readonly kind: string
  /** A hash of the router's file. */
  readonly router?: string | undefined
  /** Left out where prompts are not logged. */
  readonly text?: string | undefined
  readonly session?: string | undefined
  readonly user?: string | undefined
  readonly decision: RouteDecision
  readonly escalated?: boolean | undefined
  /** Default true; vectors of 1,000 numbers are 3 KB a row. */
  readonly withFeatures?: boolean | undefined
}

/** One line of the log: a decision. */
export function writeDecisionRow(given: DecisionRecord): string {
  const { id, time, kind, router, text, session, user, decision, escalated } = given
  const { expert, confidence, propensity = 1, scores, features, reason } = decision
  const row: DecisionRow = {
    type: 'decision',
    id,
    time,
    kind,
    ...(router !== undefined && { router }),
    ...(text !== undefined && { text }),
    ...(session !== undefined && { session }),
    ...(user !== undefined && { user }),
    choice: expert ?? null,
    confidence: roundShare(confidence),
    propensity,
    scores: scores.map(({ expert: name, score }) => [name, roundShare(score)] as const),
    reason,
    ...(features && given.withFeatures !== false && { features: packFeatures(features) }),
    ...(escalated && { escalated }),
  }
  return `${JSON.stringify(row)}\n`
}

const packFeatures = (features: Float32Array) => ({
  ...writeNumbers(features, [features.length], 'f16'),
})

const roundShare = (value: number): number => Math.round(value * 1e6) / 1e6

/** One line of the log: the outcome of a decision. */
export function writeOutcomeRow(
  id: string,
  time: string,
  { reward, right }: Pick<RouteLogRow, 'reward' | 'right'>,
): string {
  const row: OutcomeRow = {
    type: 'outcome',
    id,
    time,
    ...(reward !== undefined && { reward }),
    ...(right !== undefined && { right }),
  }
  return `${JSON.stringify(row)}\n`
}

/**
 * Reads a log; a last line that was cut off while it was written is left out. Throws DataError that
 * names the line.
 */
export function readRouteLog(text: string, name: string): RouteLogRow[] {
  const lines = text.split('\n')
  const last = lines.findLastIndex((line) => line.trim() !== '')
  const rows = new Map<string, RouteLogRow>()
  lines.forEach((line, i) => {
    if (line.trim() === '') return
    const row = parseRow(line, `${name}:${i + 1}`, i === last && !text.endsWith('\n'))
    if (row?.type === 'decision') rows.set(row.id, toLogRow(row, `${name}:${i + 1}`))
    if (row?.type === 'outcome') addOutcome(rows, row)
  })
  return [...rows.values()]
}

function parseRow(
  line: string,
  place: string,
  mayBeCut: boolean,
): DecisionRow | OutcomeRow | undefined {
  let value: unknown
  try {
    value = JSON.parse(line)
  } catch (cause) {
    if (mayBeCut) return undefined
    throw new DataError(`${place}: is not JSON.`, { cause })
  }
  const type = isRecord(value) ? value['type'] : undefined
  if (!isRecord(value) || (type !== 'decision' && type !== 'outcome'))
    throw new DataError(
      `${place}: got ${describeValue(value)}, expected a row of a router's log with the type "decision" or "outcome".`,
    )
  const fields = type === 'decision' ? decisionFields : outcomeFields
  const needed = type === 'decision' ? ['id', 'kind', 'choice', 'confidence', 'propensity'] : ['id']
  const missing = needed
    .filter((key) => value[key] === undefined)
    .map((key) => `${key}: is missing`)
  const problems = [...missing, ...findOptionProblems(value, fields)]
  if (problems.length > 0) throw new DataError(`${place}: ${joinProblems(problems)}`)
  return value as unknown as DecisionRow | OutcomeRow
}

const toLogRow = (row: DecisionRow, place: string): RouteLogRow => ({
  id: row.id,
  kind: row.kind,
  text: row.text,
  session: row.session,
  user: row.user,
  choice: row.choice ?? undefined,
  confidence: row.confidence,
  propensity: row.propensity,
  scores: row.scores ?? [],
  features:
    row.features === undefined
      ? undefined
      : readNumbers(row.features as unknown as NumberArray, 1, `${place}: features`).data,
  reward: undefined,
  right: undefined,
})

function addOutcome(rows: Map<string, RouteLogRow>, { id, reward, right }: OutcomeRow): void {
  const row = rows.get(id)
  if (!row) return
  rows.set(id, {
    ...row,
    reward: reward ?? row.reward,
    right: right === undefined ? row.right : right,
  })
}

/** Smallest reward at which a choice counts as right if the right expert is not known. */
const goodReward = 0.75

/**
 * Examples for training: prompts whose right expert was named, and prompts whose answer was good.
 * Rows without a text are not learned.
 */
export const toRouteExamples = (rows: readonly RouteLogRow[]): RouteExample[] =>
  rows.flatMap(({ text, right, reward, choice }): RouteExample[] => {
    if (text === undefined) return []
    if (right !== undefined) return [{ text, expert: right ?? undefined }]
    return reward !== undefined && reward >= goodReward && choice !== undefined
      ? [{ text, expert: choice }]
      : []
  })
