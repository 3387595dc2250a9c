// Shows the usage rows of servers that use a state folder, or writes them as CSV.

import {
  formatUsageCsv,
  formatUsageJson,
  type UsageFilter,
  type UsageRow,
} from '../../server/usage/usage-row.ts'
import { formatCount } from '../ui/format.ts'
import { formatTable } from '../ui/table.ts'
import type { Terminal } from '../ui/terminal.ts'

export interface UsageCommandValues extends UsageFilter {
  readonly state: string | undefined
  readonly csv: boolean
}

/** Returns the rows for --json. */
export async function showUsage(values: UsageCommandValues, terminal: Terminal): Promise<unknown> {
  const { getStateDirectory, openState } = await import('../../node/serve/state/open-state.ts')
  const state = await openState(values.state ?? getStateDirectory())
  try {
    const { from, to, key } = values
    const rows = await state.usage.list({ from, to, key })
    if (values.csv) terminal.print(formatUsageCsv(rows).trimEnd())
    else printRows(rows, terminal)
    return formatUsageJson(rows)
  } finally {
    await state.close()
  }
}

function printRows(rows: readonly UsageRow[], { print }: Terminal): void {
  const head = ['day', 'key', 'expert', 'user', 'requests', 'failed', 'prompt', 'cached', 'answer']
  const lines = rows.map((row) => [
    row.day,
    row.key || '-',
    row.expert || '-',
    row.user || '-',
    ...[row.requests, row.failed, row.promptTokens, row.cachedTokens, row.completionTokens].map(
      formatCount,
    ),
  ])
  const alignment = head.map((_, i) => (i < 4 ? ('left' as const) : ('right' as const)))
  if (rows.length === 0) print('There is no usage yet.')
  else for (const line of formatTable([head, ...lines], alignment)) print(line)
}
