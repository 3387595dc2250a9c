// The metrics in Node: those of graftlm/eval, execution match, which needs SQLite, and tests-pass,
// which needs a process.

import type { Metric } from '../eval/metric.ts'
import { metrics as plain } from '../eval/metric-table.ts'
import { createTestsPass } from './sandbox/tests-pass.ts'
import { createExecutionMatch } from './sql/execution-match.ts'

const own = [createExecutionMatch(), createTestsPass()]

export const nodeMetrics: ReadonlyMap<string, Metric> = new Map([
  ...plain,
  ...own.map((metric): [string, Metric] => [metric.name, metric]),
])
