// Everything a server does besides answering, put together: keys, limits, usage, metrics, log,
// spans, origins, health, and a clean shutdown. The result is what createServer takes as middleware
// and guards.

import { readOptions } from '../../base/schema.ts'
import { type Clock, RequestAccount, type RequestObserver } from '../accounts/account.ts'
import { combineObservers } from '../accounts/combine-observers.ts'
import { forgetUsage } from '../accounts/forget-usage.ts'
import { observeService } from '../accounts/observe-service.ts'
import { createUsageRecorder } from '../accounts/record-usage.ts'
import { Lifecycle } from '../health/lifecycle.ts'
import { checkScope, getRequestKey } from '../keys/request-key.ts'
import { KeyRing } from '../keys/key-ring.ts'
import { createRequestAdmission, type RequestAdmission } from '../limits/admit-requests.ts'
import { KeyLimiter } from '../limits/key-limiter.ts'
import { readRequestId } from '../log/request-id.ts'
import { createRequestLog, type RequestLogParts } from '../log/request-log.ts'
import { createRequestTrace } from '../log/request-trace.ts'
import { SpanExporter, type SpanExporterParts } from '../log/span-exporter.ts'
import { ServerMetrics } from '../metrics/server-metrics.ts'
import { createOriginCheck } from '../origins/check-origin.ts'
import type { Middleware, Route, ServerContext } from '../route.ts'
import type { ServedBase, Service } from '../service.ts'
import type { ServerState } from '../state/server-state.ts'
import { UsageLedger } from '../usage/usage-ledger.ts'
import { checkStage, createOperationRoutes } from './operation-routes.ts'
import { operationFields, type OperationOptions, type OperationSettings } from './options.ts'

export interface OperationParts {
  readonly service: Service
  readonly base: ServedBase
  readonly state: ServerState
  readonly clock: Clock
  /** Random bytes from a secure source. */
  readonly random: (count: number) => Uint8Array
  /** Receives one line per request; undefined: no log. */
  readonly log?: RequestLogParts | undefined
  /** Where spans are sent; undefined: nowhere. */
  readonly trace?: SpanExporterParts | undefined
  /** Receives errors behind a request that is answered all the same. */
  readonly onFailure: (what: string, error: unknown) => void
}

/** What createServer takes, and what the program that runs the server needs. */
export interface Operations {
  readonly middleware: readonly Middleware[]
  readonly guards: readonly Middleware[]
  readonly routes: readonly Route[]
  readonly maxBodyBytes: number
  readonly onFault: (error: unknown, context: ServerContext) => void
  readonly keys: KeyRing
  readonly lifecycle: Lifecycle
  readonly metrics: ServerMetrics
  /** Writes what waits to be written. */
  close(): Promise<void>
}

/** What middleware and guards share. */
interface Shared extends OperationParts {
  readonly settings: OperationSettings
  readonly accounts: WeakMap<ServerContext, RequestAccount>
  readonly lifecycle: Lifecycle
  readonly keys: KeyRing
  readonly admission: RequestAdmission
  readonly observer: RequestObserver
}

export function createOperations(
  parts: OperationParts,
  options: OperationOptions = {},
): Operations {
  const settings = readOptions('Server options', options, operationFields)
  const { state, random, clock, onFailure, service, base } = parts
  const keys = new KeyRing({ store: state.keys, random, now: clock.now })
  const metrics = new ServerMetrics({ service, base, now: clock.now })
  const onLedgerFailure = (error: unknown): void => onFailure('usage rows cannot be written', error)
  const ledger = new UsageLedger({ store: state.usage, onFailure: onLedgerFailure })
  const exporter = openExporter(parts)
  const admission = createRequestAdmission(
    new KeyLimiter(settings.maxRequests, clock.tick),
    settings,
  )
  const observers = [admission.observer, metrics, createUsageRecorder(ledger)]
  const observer = combineObservers([...observers, ...listReporters(parts, exporter)], (error) =>
    onFailure('a request cannot be recorded', error),
  )
  const lifecycle = new Lifecycle()
  const accounts: Shared['accounts'] = new WeakMap()
  const forgetting = forgetUsage(service, ledger, state.usage)
  const own = { settings, accounts, lifecycle, keys, admission, observer, service: forgetting }
  const shared: Shared = Object.assign({}, parts, own)
  const { openMetrics, maxBodyBytes } = settings
  return {
    middleware: [createEntrance(shared), createOrigins(shared), createUnknownPathCheck(shared)],
    guards: [createGuard(shared)],
    routes: createOperationRoutes({ lifecycle, metrics, usage: state.usage, ledger, openMetrics }),
    maxBodyBytes,
    onFault: (error, context) => {
      const account = accounts.get(context)
      if (account) account.failure ??= error
    },
    keys,
    lifecycle,
    metrics,
    close: async () => {
      await ledger.flush()
      await exporter?.close()
    },
  }
}

function openExporter({ trace, onFailure }: OperationParts): SpanExporter | undefined {
  if (trace === undefined) return undefined
  const report = (error: unknown): void => onFailure('spans cannot be sent', error)
  return new SpanExporter(Object.assign({ onFailure: report }, trace))
}

/** The log and the spans, if they are wanted. */
function listReporters(
  { log, random, base }: OperationParts,
  exporter: SpanExporter | undefined,
): RequestObserver[] {
  const reporters: RequestObserver[] = []
  if (log) reporters.push(createRequestLog(log))
  if (exporter) {
    const send = exporter.add.bind(exporter)
    reporters.push(createRequestTrace({ export: send, random, baseName: base.name }))
  }
  return reporters
}

/** Opens a request's account and closes it. */
const createEntrance =
  ({ clock, random, observer, lifecycle, accounts }: Shared): Middleware =>
  async (context, next) => {
    const { req } = context
    const start = {
      id: readRequestId(req.header('x-request-id'), () => random(16)),
      method: req.method,
      path: req.path,
      parent: req.header('traceparent'),
    }
    const account = new RequestAccount(start, clock, (ended) => {
      lifecycle.leave()
      observer.onEnd?.(ended)
    })
    lifecycle.enter()
    accounts.set(context, account)
    context.set('requestId', start.id)
    try {
      await next()
    } finally {
      account.route = context.get('route')
      account.body = context.get('body') ?? {}
      account.failure ??= context.error
      account.status = context.res.status
      if (req.raw.signal.aborted) account.isDisconnected = true
      context.res.headers.set('x-request-id', start.id)
      // the rest of a long body is not waited for; a server that shuts down accepts nothing more
      if (account.status === 413 || lifecycle.stage === 'draining')
        context.res.headers.set('connection', 'close')
      account.release()
    }
  }

const createOrigins = ({ settings, keys }: Shared): Middleware =>
  createOriginCheck({
    origins: settings.cors,
    isOpenOnLoopback: async () => settings.keyless === 'loopback' && !(await keys.hasKeys()),
  })

/** Without a key a client cannot learn which paths exist. */
const createUnknownPathCheck =
  ({ keys, settings }: Shared): Middleware =>
  async (context, next) => {
    await next()
    if (context.get('route') === undefined) await getRequestKey(context, keys, settings.keyless)
  }

/** The checks of every route that is not open. */
const createGuard =
  (shared: Shared): Middleware =>
  async (context, next) => {
    const { accounts, keys, settings, lifecycle, admission, service, observer } = shared
    const route = context.get('route')!
    if (route.scope === 'open') return next()
    const account = accounts.get(context)!
    account.key = await getRequestKey(context, keys, settings.keyless)
    // a cached prefix of one key is found by that key alone
    if (account.key) context.set('tenant', account.key.name)
    context.set('scopes', account.key?.scopes)
    checkScope(account.key, route)
    if (route.scope === 'admin' && route.method === 'GET') return next()
    checkStage(lifecycle)
    const headers = admission.admit(account)
    context.set('service', observeService(service, { account, observer, bounds: settings }))
    await next()
    for (const [name, value] of Object.entries(headers)) context.res.headers.set(name, value)
  }
