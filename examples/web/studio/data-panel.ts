// What was understood of a file of examples: its format, what is learned, what is left out and why.
// Texts of the file are shown as text.

import type { DataCheck } from 'graftlm/web'
import { createElement, getElement } from '../shared/elements.ts'

const count = (value: number, one: string, many = `${one}s`): string =>
  `${value.toLocaleString('en')} ${value === 1 ? one : many}`

const listRows = (rows: readonly number[]): string => {
  const shown = rows.slice(0, 5).join(', ')
  const more = rows.length > 5 ? ` and ${rows.length - 5} more` : ''
  return `${rows.length === 1 ? 'row' : 'rows'} ${shown}${more}`
}

function listFacts({ format, rows, learnedRows, tokens }: DataCheck): [string, string][] {
  const facts: [string, string][] = [
    ['Format', format],
    ['Rows', `${count(rows, 'row')}, ${learnedRows.toLocaleString('en')} learned`],
  ]
  if (!tokens) return facts
  const { total, learned, longest, maxTokens, cut } = tokens
  facts.push(['Tokens', `${total.toLocaleString('en')}, ${learned.toLocaleString('en')} learned`])
  const cutRows = cut > 0 ? `; ${count(cut, 'row')} cut to ${maxTokens}` : ''
  facts.push(['Longest', `${count(longest, 'token')}${cutRows}`])
  return facts
}

function listWarnings(check: DataCheck): string[] {
  const { problems, leftOut, weightlessRows, readOnlyTurns, brokenText, tokens } = check
  const found = problems.map(({ problem, rows }) => `${listRows(rows)}: ${problem}`)
  if (check.refusedRows > 0) found.push('Nothing is taught before these rows are right.')
  for (const [path, rows] of Object.entries(leftOut))
    found.push(`"${path}" is left out in ${count(rows, 'row')}, because nothing reads it`)
  if (weightlessRows > 0)
    found.push(`${count(weightlessRows, 'row')} left out, because the weight is 0`)
  if (readOnlyTurns > 0)
    found.push(`${count(readOnlyTurns, 'assistant turn')} only read, because the weight is 0`)
  if (brokenText > 0) found.push(`half a surrogate pair in ${count(brokenText, 'row')}`)
  if (tokens && tokens.dropped > 0)
    found.push(`${count(tokens.dropped, 'sequence')} dropped: nothing to learn within the limit`)
  return found
}

/** Replaces what is shown; empties it where nothing was checked. */
export function showCheck(check: DataCheck | undefined): void {
  const place = getElement('check', HTMLElement)
  if (!check) return place.replaceChildren()
  const facts = createElement('dl', 'facts')
  for (const [term, text] of listFacts(check))
    facts.append(createElement('dt', '', term), createElement('dd', '', text))
  const warnings = listWarnings(check).map((text) => createElement('li', '', text))
  const samples = check.samples.slice(0, 3).map(({ spans, row, answer }) => {
    const texts = spans.map(({ text, learned }) =>
      createElement(learned ? 'mark' : 'span', '', text),
    )
    const label = `Row ${row}${answer === undefined ? '' : `, ${answer} answer`}`
    const sample = createElement('p', 'sample', ...texts)
    sample.tabIndex = 0
    sample.setAttribute('role', 'group')
    sample.setAttribute('aria-label', `${label}; marked: learned`)
    return sample
  })
  place.replaceChildren(
    createElement('h3', '', check.file),
    facts,
    ...(warnings.length > 0 ? [createElement('ul', 'warnings', ...warnings)] : []),
    ...(samples.length > 0
      ? [createElement('p', 'small quiet', 'As the model reads it; what it learns is marked:')]
      : []),
    ...samples,
  )
  for (const sample of samples) showMark(sample)
}

/** Scrolls a long sample to what is learned of it, which is at its end where answers are learned. */
function showMark(sample: HTMLElement): void {
  const mark = sample.querySelector('mark')
  if (!mark) return
  const below = mark.getBoundingClientRect().bottom - sample.getBoundingClientRect().bottom
  if (below > 0) sample.scrollTop = below + marginBelow
}
const marginBelow = 12

/** Whether it can be taught as it is. */
export const isSound = (check: DataCheck | undefined): check is DataCheck =>
  check !== undefined && check.refusedRows === 0 && check.learnedRows > 0
