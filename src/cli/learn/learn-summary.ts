// A stream of learned turns in figures, and as lines of a terminal. Pure but for the terminal it is
// given.

import type { Consolidated, LearnerWarning, UserStatistics } from '../../learn/index.ts'
import { shownPath } from '../shared/shown-path.ts'
import { bytes, count } from '../ui/format.ts'
import { table } from '../ui/table.ts'
import type { Terminal } from '../ui/terminal.ts'

/**
 * A turn's mean losses in nats a token: of the model as it is, and of the user's before the turn
 * was learned; and what learning it took.
 */
export interface LearnedTurnRecord {
  readonly frozen: number
  readonly loss: number
  readonly ms: number
}

export interface Gain {
  readonly frozen: number
  readonly loss: number
  /** Share of the frozen model's loss that is gone. */
  readonly gain: number
}

export const mean = (values: ArrayLike<number>): number =>
  Array.from(values).reduce((sum, value) => sum + value, 0) / values.length

function gainOf(records: readonly LearnedTurnRecord[]): Gain | null {
  if (records.length === 0) return null
  const frozen = mean(records.map((record) => record.frozen))
  const loss = mean(records.map((record) => record.loss))
  return { frozen, loss, gain: 1 - loss / frozen }
}

export function summaryOf(records: readonly LearnedTurnRecord[]) {
  const half = records.length >> 1
  const times = records.map(({ ms }) => ms).toSorted((a, b) => a - b)
  return {
    turns: records.length,
    firstHalf: gainOf(records.slice(0, half)),
    secondHalf: gainOf(records.slice(half)),
    msPerTurn: times[times.length >> 1] ?? null,
  }
}

export interface LearnResult extends ReturnType<typeof summaryOf> {
  readonly reason: string
  readonly model: string
  readonly user: string
  readonly store: string | null
  readonly consolidation: Consolidated | null
  readonly out: string | null
  readonly plot: string | null
  /** The folder that was wanted where the gate refused the slow tier. */
  readonly unwritten: string | null
  readonly statistics: UserStatistics
  readonly warnings: readonly LearnerWarning[]
}

export function sayLearned(result: LearnResult, { say, note, graft, style }: Terminal): void {
  const { user, store, statistics: of, consolidation, out, plot } = result
  if (result.reason === 'stopped')
    say(
      `Stopped after ${count(result.turns)} turns${store === null ? '' : '; what was learned is kept'}.`,
    )
  const row = (name: string, gain: Gain | null): string[][] =>
    gain
      ? [
          [
            `  ${name}`,
            gain.frozen.toFixed(3),
            gain.loss.toFixed(3),
            `${(100 * gain.gain).toFixed(0)} %`,
          ],
        ]
      : []
  const rows = [...row('first half', result.firstHalf), ...row('second half', result.secondHalf)]
  for (const line of table(
    [['  nats a token', 'frozen', 'learning', 'gain'], ...rows],
    ['left', 'right', 'right', 'right'],
  ))
    say(line)
  const time = result.msPerTurn === null ? '' : `, ${result.msPerTurn.toFixed(1)} ms each`
  say(
    `  ${count(result.turns)} turns learned${time}; ${count(of.pairs)} pairs in the memory, ${bytes(of.sizeBytes)} for the user`,
  )
  if (consolidation)
    say(
      `  slow tier: ${consolidation.kept ? `version ${of.version}` : 'rolled back'}; ${consolidation.reason}`,
    )
  if (of.rollbacks > 0) say(`  canaries made the tiers go back ${of.rollbacks} times`)
  if (result.unwritten !== null)
    note(
      `${shownPath(result.unwritten)}: not written; the slow tier has no version yet. More turns or --epochs may help.`,
    )
  if (out !== null) say(`  adapter     ${shownPath(out)}  (a PEFT folder)`)
  if (plot !== null) say(`  loss curve  ${shownPath(plot)}`)
  for (const { message } of result.warnings) note(message)
  if (store === null) return say('  Nothing is kept of this: --store <folder|file.db> keeps users.')
  say()
  say('next:')
  const name = /^[\w.@-]+$/.test(user) ? user : `'${user.replaceAll("'", `'\\''`)}'`
  const same = `--user ${name} --store ${shownPath(store)} --model ${result.model}`
  for (const line of [`${graft} learn --show ${same}`, `${graft} chat --learn ${same}`])
    say(`  ${style.accent(line)}`)
}
