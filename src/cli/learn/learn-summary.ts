// Summarises a stream of learned turns in numbers and prints them.

import type { ConsolidationResult, LearnerWarning, UserStatistics } from '../../learn/index.ts'
import { describePath } from '../shared/describe-path.ts'
import { formatBytes, formatCount } from '../ui/format.ts'
import { formatTable } from '../ui/table.ts'
import type { Terminal } from '../ui/terminal.ts'

/**
 * A turn's mean losses in nats per token: of the model as it is, and of the user's before the turn
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

export const computeMeanLoss = (values: ArrayLike<number>): number =>
  Array.from(values).reduce((sum, value) => sum + value, 0) / values.length

function computeGain(records: readonly LearnedTurnRecord[]): Gain | null {
  if (records.length === 0) return null
  const frozen = computeMeanLoss(records.map((record) => record.frozen))
  const loss = computeMeanLoss(records.map((record) => record.loss))
  return { frozen, loss, gain: 1 - loss / frozen }
}

export function summarizeTurns(records: readonly LearnedTurnRecord[]) {
  const half = records.length >> 1
  const times = records.map(({ ms }) => ms).toSorted((a, b) => a - b)
  return {
    turns: records.length,
    firstHalf: computeGain(records.slice(0, half)),
    secondHalf: computeGain(records.slice(half)),
    msPerTurn: times[times.length >> 1] ?? null,
  }
}

export interface LearnResult extends ReturnType<typeof summarizeTurns> {
  readonly reason: string
  readonly model: string
  readonly user: string
  readonly store: string | null
  readonly consolidation: ConsolidationResult | null
  readonly out: string | null
  readonly plot: string | null
  /** The folder that was wanted where the gate refused the slow tier. */
  readonly unwritten: string | null
  readonly statistics: UserStatistics
  readonly warnings: readonly LearnerWarning[]
}

export function showLearnResult(result: LearnResult, { say, note, graft, style }: Terminal): void {
  const { user, store, statistics: of, consolidation, out, plot } = result
  if (result.reason === 'stopped')
    say(
      `Stopped after ${formatCount(result.turns)} turns${store === null ? '' : '; what was learned is stored'}.`,
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
  for (const line of formatTable(
    [['  nats per token', 'frozen', 'learning', 'gain'], ...rows],
    ['left', 'right', 'right', 'right'],
  ))
    say(line)
  const time = result.msPerTurn === null ? '' : `, ${result.msPerTurn.toFixed(1)} ms each`
  say(
    `  ${formatCount(result.turns)} turns learned${time}; ${formatCount(of.pairs)} pairs in the memory, ${formatBytes(of.sizeBytes)} for the user`,
  )
  if (consolidation)
    say(
      `  slow tier: ${consolidation.kept ? `version ${of.version}` : 'rolled back'}; ${consolidation.reason}`,
    )
  if (of.rollbacks > 0) say(`  canaries rolled the tiers back ${of.rollbacks} times`)
  if (result.unwritten !== null)
    note(
      `${describePath(result.unwritten)}: not written; the slow tier has no version yet. More turns or --epochs may help.`,
    )
  if (out !== null) say(`  adapter     ${describePath(out)}  (a PEFT folder)`)
  if (plot !== null) say(`  loss curve  ${describePath(plot)}`)
  for (const { message } of result.warnings) note(message)
  if (store === null)
    return say('  Nothing of this is stored: --store <folder|file.db> stores users.')
  say()
  say('next:')
  const name = /^[\w.@-]+$/.test(user) ? user : `'${user.replaceAll("'", `'\\''`)}'`
  const same = `--user ${name} --store ${describePath(store)} --model ${result.model}`
  for (const line of [`${graft} learn --show ${same}`, `${graft} chat --learn ${same}`])
    say(`  ${style.accent(line)}`)
}
