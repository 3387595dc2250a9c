// Outcomes of a corpus as tables of Markdown, and the page that shows them.

import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { root } from '../sources.ts'
import { agreements, type Comparison } from './compare.ts'
import { faults, type Judgement, outcomes } from './row-outcome.ts'

/** A table whose columns but the first hold numbers. */
function formatTable(header: readonly string[], rows: readonly (readonly string[])[]): string {
  const widths = header.map((name, i) =>
    Math.max(name.length, ...rows.map((row) => row[i]!.length)),
  )
  const pad = (row: readonly string[]): string =>
    `| ${row.map((cell, i) => (i === 0 ? cell.padEnd(widths[i]!) : cell.padStart(widths[i]!))).join(' | ')} |`
  const rule = `| ${widths.map((width, i) => (i === 0 ? '-'.repeat(width) : `${'-'.repeat(width - 1)}:`)).join(' | ')} |`
  return [pad(header), rule, ...rows.map(pad)].join('\n')
}

/** How often each name occurs in each group, with a row of sums. */
function countTable(
  title: string,
  names: readonly string[],
  counted: readonly { readonly group: string; readonly name: string }[],
): string {
  const groups = [...new Set(counted.map(({ group }) => group))].sort()
  const count = (group: string | undefined, name: string): string =>
    String(
      counted.filter((one) => (group === undefined || one.group === group) && one.name === name)
        .length,
    )
  const rows = [...groups, undefined].map((group) => [
    group ?? '**all**',
    ...names.map((name) => count(group, name)),
  ])
  return formatTable([title, ...names], rows)
}

/** How often each outcome occurred for each mutation. */
export const formatOutcomes = (judged: readonly { mutation: string; judgement: Judgement }[]) =>
  countTable(
    'change',
    [...outcomes, ...faults],
    judged.map(({ mutation, judgement }) => ({ group: mutation, name: judgement.outcome })),
  )

/** How often Graft and the reference agree, by format. */
export const formatAgreements = (
  title: string,
  compared: readonly (Comparison & { readonly group: string })[],
): string =>
  countTable(
    title,
    agreements,
    compared.map(({ group, agreement }) => ({ group, name: agreement })),
  )

/** How often each reason for another reading applied. */
export function formatReasons(compared: readonly Comparison[]): string {
  const reasons = compared.flatMap(({ reason }) => (reason === undefined ? [] : [reason]))
  const rows = [...new Set(reasons)]
    .sort()
    .map((reason) => [reason, String(reasons.filter((one) => one === reason).length)])
  return formatTable(['reason', 'inputs'], rows)
}

/** A table of tools and their versions. */
export const formatVersions = (versions: Readonly<Record<string, string>>): string =>
  formatTable(['tool', 'versions that results were compared with'], Object.entries(versions).sort())

export const compatibilityPage = 'compatibility.md'
export const oddInputsPage = 'odd-inputs.md'

/** The table of this name on a page of docs; GRAFT_UPDATE=1 first writes `found` there. */
export function comparePage(pageName: string, name: string, found: string): string {
  const page = join(root, 'docs', pageName)
  const [begin, end] = [`<!-- ${name} -->`, `<!-- end of ${name} -->`]
  const text = readFileSync(page, 'utf8')
  const [from, to] = [text.indexOf(begin) + begin.length, text.indexOf(end)]
  if (from < begin.length || to < from) return `${pageName} has no table "${name}"`
  if (process.env['GRAFT_UPDATE'] !== '1') return text.slice(from, to).trim()
  writeFileSync(page, `${text.slice(0, from)}\n\n${found}\n\n${text.slice(to)}`)
  return found
}
