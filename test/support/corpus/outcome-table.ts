// Outcomes of a corpus by kind of change, as a table of Markdown.

import { faults, type Judgement, outcomes } from './row-outcome.ts'

/** How often each outcome occurred for each mutation, with a row of sums. */
export function formatOutcomes(judged: readonly { mutation: string; judgement: Judgement }[]) {
  const names = [...outcomes, ...faults]
  const mutations = [...new Set(judged.map(({ mutation }) => mutation))].sort()
  const countOf = (mutation: string | undefined, name: string): string =>
    String(
      judged.filter(
        (one) =>
          (mutation === undefined || one.mutation === mutation) && one.judgement.outcome === name,
      ).length,
    )
  const rows = [...mutations, undefined].map((mutation) => [
    mutation ?? '**all**',
    ...names.map((name) => countOf(mutation, name)),
  ])
  const header = ['change', ...names]
  const widths = header.map((name, i) =>
    Math.max(name.length, ...rows.map((row) => row[i]!.length)),
  )
  const pad = (row: readonly string[]): string =>
    `| ${row.map((cell, i) => (i === 0 ? cell.padEnd(widths[i]!) : cell.padStart(widths[i]!))).join(' | ')} |`
  const rule = `| ${widths.map((width, i) => (i === 0 ? '-'.repeat(width) : `${'-'.repeat(width - 1)}:`)).join(' | ')} |`
  return [pad(header), rule, ...rows.map(pad)].join('\n')
}
