// The routes of a server's operation: health, readiness, metrics, usage.

import type { Lifecycle } from '../health/lifecycle.ts'
import { metricsContentType } from '../metrics/registry.ts'
import type { ServerMetrics } from '../metrics/server-metrics.ts'
import { RequestError } from '../request-error.ts'
import { defineRoute, type Route } from '../route.ts'
import type { UsageLedger } from '../usage/usage-ledger.ts'
import {
  formatUsageCsv,
  formatUsageJson,
  type UsageFilter,
  type UsageStore,
} from '../usage/usage-row.ts'

export interface OperationRouteParts {
  readonly lifecycle: Lifecycle
  readonly metrics: ServerMetrics
  readonly usage: UsageStore
  readonly ledger: UsageLedger
  readonly openMetrics: boolean
}

/** Seconds after which a server that shuts down may be back. */
export const restartSeconds = 5

export const createOperationRoutes = (parts: OperationRouteParts): readonly Route[] => [
  defineRoute({
    method: 'GET',
    path: '/healthz',
    scope: 'open',
    tag: 'operation',
    summary: '200 while the process answers',
    handle: async () => Response.json({ status: 'ok' }),
  }),
  defineRoute({
    method: 'GET',
    path: '/readyz',
    scope: 'open',
    tag: 'operation',
    summary: '200 while requests are taken; 503 from the shutdown on',
    handle: async () => {
      checkStage(parts.lifecycle)
      return Response.json({ status: 'ready' })
    },
  }),
  defineRoute({
    method: 'GET',
    path: '/metrics',
    scope: parts.openMetrics ? 'open' : 'admin',
    tag: 'operation',
    summary: "metrics in Prometheus' text format, with vLLM's names in addition to our own",
    contentType: metricsContentType,
    handle: async () =>
      new Response(await parts.metrics.registry.format(), {
        headers: { 'content-type': metricsContentType },
      }),
  }),
  defineRoute({
    method: 'GET',
    path: '/v1/usage',
    scope: 'admin',
    tag: 'operation',
    summary: 'usage by day, key, expert and user: ?from=2026-11-01&to=2026-11-30&key=ci&format=csv',
    handle: async ({ query }) => {
      const { format, filter } = readUsageQuery(query)
      await parts.ledger.flush()
      const rows = await parts.usage.list(filter)
      if (format === 'json') return Response.json({ object: 'list', data: formatUsageJson(rows) })
      return new Response(formatUsageCsv(rows), {
        headers: {
          'content-type': 'text/csv; charset=utf-8',
          'content-disposition': 'attachment; filename="usage.csv"',
        },
      })
    },
  }),
]

/** Throws RequestError of status 503 if the server accepts no requests. */
export function checkStage({ stage }: Lifecycle): void {
  if (stage === 'ready') return
  throw new RequestError(
    'The server is shutting down: it finishes running requests and accepts no new ones.',
    { status: 503, code: 'shutting_down', retryAfter: restartSeconds },
  )
}

const usageParameters = ['from', 'to', 'key', 'format']

function readUsageQuery(query: URLSearchParams): { format: 'json' | 'csv'; filter: UsageFilter } {
  for (const name of query.keys())
    if (!usageParameters.includes(name))
      throw refuse(name, `is unknown here; there are ${usageParameters.join(', ')}`)
  const format = query.get('format') ?? 'json'
  if (format !== 'json' && format !== 'csv') throw refuse('format', 'must be "json" or "csv"')
  const readDay = (name: 'from' | 'to'): string | undefined => {
    const day = query.get(name) ?? undefined
    if (day !== undefined && !/^\d{4}-\d{2}-\d{2}$/.test(day))
      throw refuse(name, 'must be a day such as 2026-11-30, in UTC')
    return day
  }
  return {
    format,
    filter: { from: readDay('from'), to: readDay('to'), key: query.get('key') ?? undefined },
  }
}

const refuse = (param: string, problem: string): RequestError =>
  new RequestError(`The parameter ${JSON.stringify(param.slice(0, 100))} ${problem}.`, {
    param: param.slice(0, 100),
    code: 'invalid_value',
  })
