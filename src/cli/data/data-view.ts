// The report of graft data check as lines.

import { formatCount } from '../ui/format.ts'
import type { Style } from '../ui/style.ts'
import { formatTable } from '../ui/table.ts'
import type {
  DataCheck,
  RowProblem,
  RowSample,
  TokenCounts,
} from '../../train/datasets/check-data.ts'

const shownProblems = 12
const shownRows = 5
const shownCharacters = 1500

const countOf = (count: number, what: string): string =>
  `${formatCount(count)} ${what}${count === 1 ? '' : 's'}`

/** Control characters as their codes, so that data cannot steer the terminal. */
const escapeControls = (text: string): string =>
  text.replaceAll(
    /[^\P{Cc}\n\t]/gu,
    (one) => `\\x${one.charCodeAt(0).toString(16).padStart(2, '0')}`,
  )

/** Learned text in green, or between marks if there are no colours. */
function markLearned(text: string, style: Style): string {
  const isPlain = style.good('x') === 'x'
  return isPlain ? `⟦${text}⟧` : style.good(text)
}

const answerNotes: Readonly<Record<string, string>> = {
  chosen: 'to become more likely than the rejected one',
  rejected: 'to become less likely than the chosen one',
  good: 'to become more likely',
  bad: 'to become less likely',
  anchor: 'the text that others are compared with',
  positive: 'to come near the anchor',
  negative: 'to move away from the anchor',
}

/** A row with its learned parts marked, after an empty line. */
export function describeSample({ row, answer, spans }: RowSample, style: Style): string[] {
  let room = shownCharacters
  let text = ''
  for (const span of spans) {
    const shown = escapeControls(span.text.slice(0, room))
    room -= Math.min(room, span.text.length)
    if (shown !== '') text += span.learned ? markLearned(shown, style) : shown
  }
  const length = spans.reduce((sum, span) => sum + span.text.length, 0)
  if (length > shownCharacters)
    text += `\n… ${countOf(length - shownCharacters, 'character')} more; --json has all`
  const title = style.strong(
    `row ${row}${answer === undefined ? '' : `, ${answer} answer: ${answerNotes[answer]}`}`,
  )
  const lines = text.replace(/\n+$/, '').split('\n') // a template may end with line breaks
  return ['', title, ...lines.map((line) => (line === '' ? '' : `  ${line}`))]
}

function describeRows(rows: readonly number[]): string {
  const first = rows.slice(0, shownRows).join(', ')
  const rest = rows.length - shownRows
  const more = rest > 0 ? ` and ${formatCount(rest)} more` : ''
  return `row${rows.length === 1 ? '' : 's'} ${first}${more}`
}

const describeProblem = ({ rows, problem }: RowProblem): string =>
  escapeControls(`  ${describeRows(rows)}: ${problem}`)

function describeTokens({ model, maxTokens, ...counts }: TokenCounts): string[][] {
  const { sequences, total, learned, longest, cut, dropped } = counts
  return [
    ['tokens', `${formatCount(total)} of ${model}, ${formatCount(learned)} learned`],
    ['sequences', `${formatCount(sequences)}; the longest has ${countOf(longest, 'token')}`],
    ...(cut > 0 ? [['cut', `${countOf(cut, 'sequence')} to ${maxTokens} tokens`]] : []),
    ...(dropped > 0
      ? [
          [
            'left out',
            `${countOf(dropped, 'sequence')} without anything to learn within ${maxTokens} tokens`,
          ],
        ]
      : []),
  ]
}

/** What of the rows is not used, with the reason and a count. */
function describeLeftOut(check: DataCheck): string[][] {
  return [
    ...(check.weightlessRows > 0
      ? [['left out', `${countOf(check.weightlessRows, 'row')}, because the weight is 0`]]
      : []),
    ...Object.entries(check.leftOut).map(([path, count]) => [
      'left out',
      `"${escapeControls(path)}" in ${countOf(count, 'row')}, because nothing reads it`,
    ]),
    ...Object.entries(check.templateKeys).map(([path, count]) => [
      'depends',
      `"${escapeControls(path)}" in ${countOf(count, 'row')} is used where the model's chat template names it`,
    ]),
    ...(check.readOnlyTurns > 0
      ? [
          [
            'only read',
            `${countOf(check.readOnlyTurns, 'assistant turn')}, because the weight is 0`,
          ],
        ]
      : []),
    ...(check.brokenText > 0
      ? [['broken', `half a surrogate pair in ${countOf(check.brokenText, 'row')}, read as U+FFFD`]]
      : []),
  ]
}

/** The whole report. */
export function describeCheck(check: DataCheck, style: Style): string[] {
  const table = [
    ['format', `${check.format}, ${check.syntax}`],
    ['rows', `${formatCount(check.rows)}, ${formatCount(check.learnedRows)} learned`],
    ...(check.tokens ? describeTokens(check.tokens) : []),
    ...describeLeftOut(check),
    ...(check.refusedRows > 0
      ? [['refused', `${countOf(check.refusedRows, 'row')}; graft train refuses the whole file`]]
      : []),
  ]
  const more = check.problems.length - shownProblems
  return [
    style.strong(check.file),
    ...formatTable(table).map((line) => `  ${line}`),
    ...check.samples.flatMap((sample) => describeSample(sample, style)),
    ...(check.problems.length > 0 ? ['', style.bad('refused')] : []),
    ...check.problems.slice(0, shownProblems).map(describeProblem),
    ...(more > 0 ? [`  … and ${countOf(more, 'other problem')}; --json has all`] : []),
  ]
}
