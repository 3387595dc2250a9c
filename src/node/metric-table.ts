// The metrics in Node: those of graftlm/eval, and execution match, which needs SQLite.

import type { Metric } from '../eval/metric.ts'
import { metrics as plain } from '../eval/metric-table.ts'
import { createExecutionMatch } from './sql/execution-match.ts'

const executionMatch = createExecutionMatch()

export const nodeMetrics: ReadonlyMap<string, Metric> = new Map([
  ...plain,
  [executionMatch.name, executionMatch],
])
