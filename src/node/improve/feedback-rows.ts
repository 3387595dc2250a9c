// Training and held-out rows for an expert's next version, from all users' turns with any of its
// versions; and which turns those were, so that they can be forgotten.

import { getExpertText } from '../../adapters/files/expert-text.ts'
import type { Adapter } from '../../adapters/adapter.ts'
import { computeSha256Sync } from '../../base/sha256-sync.ts'
import { buildRows, type JudgedTurn, judgeTurns } from '../../learn/export/export-rows.ts'
import type { RowForm } from '../../learn/export/export-rows.ts'
import { parseRedaction, redactValue } from '../../server/capture/redaction.ts'
import type { DataRow, RawDataset } from '../../train/data/jsonl.ts'
import type { Model } from '../../runtime/index.ts'
import type { SourceTurn } from '../registry/trials/improvements.ts'
import type { UserTurns } from './collect-turns.ts'

export interface FeedbackRows {
  readonly train: RawDataset
  /** Right answers to prompts that `train` does not have. */
  readonly held: RawDataset
  /** Every turn that `train` or `held` has something of. */
  readonly sources: readonly SourceTurn[]
  readonly users: number
}

export interface RowChoice {
  readonly form: RowForm
  readonly held: number
  readonly redact: string
  readonly seed: number
  /** What users' names become. */
  readonly hideUser: (user: string) => string
}

/** Without any feedback there are no rows: the caller says what is missing. */
export function buildFeedbackRows(
  histories: readonly UserTurns[],
  reader: { readonly model: Pick<Model, 'base'>; readonly expert: Adapter },
  { form, held, redact, seed, hideUser }: RowChoice,
): FeedbackRows {
  const text = getExpertText(reader.model.base, reader.expert)
  const rules = parseRedaction(redact)
  const judged: JudgedTurn[] = []
  const sources: SourceTurn[] = []
  const users = new Set<string>()
  for (const { user, expert, turns } of histories) {
    const own = judgeTurns(turns, text).judged
    judged.push(...own)
    const hidden = hideUser(user)
    if (own.length > 0) users.add(hidden)
    for (const { number, place } of new Set(own.map(({ turn }) => turn)))
      sources.push({ user: hidden, expert: expert ?? '', turn: number, place })
  }
  const isHeld = ({ prompt }: JudgedTurn): boolean => drawShare(prompt, seed) < held
  const toData = (name: string, chosen: readonly JudgedTurn[], as: RowForm): RawDataset => ({
    name,
    rows: buildRows(chosen, as).map((row, i) => ({
      number: i + 1,
      value: redactValue(row, rules, {}) as DataRow['value'],
    })),
  })
  return {
    train: toData(
      'feedback',
      judged.filter((turn) => !isHeld(turn)),
      form,
    ),
    held: toData('feedback, held out', judged.filter(isHeld), 'answers'),
    sources,
    users: users.size,
  }
}

/** A number from 0 to 1 that depends on the prompt alone, not on the user. */
function drawShare(prompt: unknown, seed: number): number {
  const text = JSON.stringify([seed, prompt])
  return (
    Number.parseInt(computeSha256Sync(new TextEncoder().encode(text)).slice(0, 12), 16) / 2 ** 48
  )
}

/** Turns that no earlier version was made from. */
export function countNewTurns(
  sources: readonly SourceTurn[],
  before: readonly SourceTurn[],
): number {
  const toKey = ({ user, expert, turn }: SourceTurn): string => `${user} ${expert} ${turn}`
  const known = new Set(before.map(toKey))
  return sources.filter((source) => !known.has(toKey(source))).length
}

/**
 * Whether a turn that a version learned from must be forgotten: its user is gone, or the turn was
 * unlearned. A turn that only became too old to be stored need not be.
 */
export function createForgottenTest(
  histories: readonly UserTurns[],
  hideUser: (user: string) => string,
): (source: SourceTurn) => boolean {
  const kept = new Map<string, { dropped: number; numbers: Set<number> }>()
  for (const { user, expert, dropped, turns } of histories)
    kept.set(`${hideUser(user)} ${expert}`, {
      dropped,
      numbers: new Set(turns.map(({ number }) => number)),
    })
  return ({ user, expert, turn, place }) => {
    const found = kept.get(`${user} ${expert}`)
    if (!found) return true
    return place >= found.dropped && !found.numbers.has(turn)
  }
}
