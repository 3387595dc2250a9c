// The table of metrics that need no platform. A new metric is a file and a row here.

import type { Metric } from './metric.ts'
import { callMatch } from './metrics/call-match.ts'
import { cypherMatch } from './metrics/cypher-match.ts'
import { exactMatch } from './metrics/exact-match.ts'
import { jsonEquality } from './metrics/json-equality.ts'
import { jsonValidity } from './metrics/json-validity.ts'
import { labelAccuracy } from './metrics/label-accuracy.ts'
import { perplexity } from './metrics/perplexity.ts'
import { rougeL } from './metrics/rouge-l.ts'
import { tokenF1 } from './metrics/token-f1.ts'

export const metrics: ReadonlyMap<string, Metric> = new Map(
  [
    perplexity,
    exactMatch,
    tokenF1,
    rougeL,
    labelAccuracy,
    jsonValidity,
    jsonEquality,
    callMatch,
    cypherMatch,
  ].map((metric) => [metric.name, metric]),
)
