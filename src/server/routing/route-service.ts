// A service whose requests may ask for the model "auto": a router chooses the expert, the response
// reports it with the reason, and every decision is a row of a log. All other requests are
// unchanged.

import { formatExpertSpec } from '../../adapters/serving/expert-spec.ts'
import type { Preloader } from '../../route/preload/preloader.ts'
import type {
  Router,
  RouteDecision,
  RouteExplanation,
  RouteReport,
  RouteRequest,
} from '../../route/router.ts'
import { writeDecisionRow, writeOutcomeRow } from '../../route/log/route-log.ts'
import { replaceMethods } from '../accounts/replace-methods.ts'
import { RequestError } from '../request-error.ts'
import type { AnswerEvent, AnswerRequest, Conversation, Service } from '../service.ts'
import type { FeedbackOutcome, FeedbackRequest } from '../user-service.ts'
import { type RegisteredContent, toLoadedVersions, withoutAbsent } from './loaded-versions.ts'
import { findRequestText } from './request-text.ts'
import { streamUpstream, type Upstream } from './upstream.ts'

/** The model name of the router. */
export const routedModel = 'auto'

export interface RoutingOptions {
  readonly router: Router
  /** A hash of the router's file, for the log. */
  readonly routerSha256?: string | undefined
  /** Answers requests that neither an expert nor the base should answer; with `escalateBelow`. */
  readonly upstream?: Upstream | undefined
  /** The confidence below which the upstream is asked. */
  readonly escalateBelow?: number | undefined
  /**
   * Whether the base answers where no expert does; else the upstream does that too, also for an
   * expert that was unloaded. Default: true.
   */
  readonly baseAnswers?: boolean | undefined
  /** Experts of a registry, which whoever calls the service loads as `name@version`. */
  readonly registered?: readonly RegisteredContent[] | undefined
  /** Experts in memory now. Default: all that are loaded. */
  readonly listResident?: (() => readonly string[]) | undefined
  /**
   * Called with the user and the chosen expert before it answers: loads ahead what is asked next.
   */
  readonly preloader?: Pick<Preloader, 'note'> | undefined
  /** Receives lines of the log; absent: no log. */
  readonly writeRow?: ((line: string) => void) | undefined
  /** Whether the log contains prompts. */
  readonly logsPrompts: boolean
  /** Whether feedback is also given to a learner. */
  readonly learns: boolean
  /** Milliseconds since 1970. */
  readonly now: () => number
  readonly createId: () => string
}

interface RoutedAnswer {
  readonly request: RouteRequest
  readonly decision: RouteDecision
}

/** Decisions for which feedback is still accepted. */
const keptAnswers = 10_000

/** Wraps a service. Does not throw. */
export function createRoutedService(service: Service, options: RoutingOptions): Service {
  const answers = new Map<string, RoutedAnswer>()
  const keep = (id: string, answer: RoutedAnswer): void => {
    if (answers.size >= keptAnswers) answers.delete(answers.keys().next().value!)
    answers.set(id, answer)
  }
  return replaceMethods(service, {
    async describe() {
      return { ...(await service.describe()), router: options.router.kind }
    },
    generate: (request, signal) =>
      isRouted(request.model)
        ? generateRouted(service, options, keep, request, signal)
        : service.generate(request, signal),
    explainRoute: (conversation, user, signal) =>
      explainRoute(service, options, { conversation, user, signal }),
    feedback: (request) => takeFeedback(service, options, answers, request),
  })
}

const isRouted = (model: string | undefined): boolean => model?.trim() === routedModel

async function explainRoute(
  service: Service,
  options: RoutingOptions,
  asking: {
    readonly conversation: Conversation
    readonly user: string | undefined
    readonly signal: AbortSignal | undefined
  },
): Promise<RouteExplanation> {
  const { conversation, user, signal } = asking
  const loaded = await service.listExperts()
  const names = loaded.map(({ name }) => name)
  const { registered = [] } = options
  const known = [...names, ...registered.map(({ name }) => name)]
  const asked: RouteRequest = {
    text: findRequestText({ conversation }) ?? '',
    messages: conversation.messages,
    user,
    resident: options.listResident?.() ?? names,
  }
  const decision = withoutAbsent(await options.router.decide(asked, signal), known)
  const upstream = isEscalated(decision, options) ? new URL(options.upstream!.url).host : undefined
  const report = toReport(decision, options.router.kind)
  return Object.assign(report, {
    scores: decision.scores,
    ...(upstream !== undefined && { upstream }),
  })
}

async function* generateRouted(
  service: Service,
  options: RoutingOptions,
  keep: (id: string, answer: RoutedAnswer) => void,
  request: AnswerRequest,
  signal: AbortSignal | undefined,
): AsyncGenerator<AnswerEvent, void> {
  signal?.throwIfAborted()
  checkRoutable(request)
  const [base, loaded] = await Promise.all([service.describe(), service.listExperts()])
  const names = loaded.map(({ name }) => name)
  const asked: RouteRequest = {
    text: findRequestText(request) ?? '',
    messages: request.conversation?.messages,
    user: request.user,
    session: request.tenant,
    resident: options.listResident?.() ?? names,
  }
  const decided = await options.router.decide(asked, signal)
  const named = toLoadedVersions(decided, loaded, options.registered ?? [])
  const decision = withoutAbsent(named, names)
  const id = request.responseId ?? options.createId()
  keep(id, { request: asked, decision: decision === named ? decided : decision })
  const escalates = isEscalated(decision, options)
  writeDecision(options, id, asked, decision, escalates)
  const report = toReport(decision, options.router.kind)
  if (escalates) {
    const failed = yield* callUpstream(options, request, report, signal)
    if (failed === undefined) return
    report.reason += ` ${failed}`
  }
  const session = request.user ?? request.tenant
  // Not awaited, because loading ahead must not delay this answer.
  if (session !== undefined) void options.preloader?.note(session, decision.expert)
  const model = toModel(decision) ?? base.name
  yield* withReport(service.generate({ ...request, model }, signal), report)
}

/** Throws RequestError for requests that no single decision can answer. */
function checkRoutable({ prompts = [], scales }: AnswerRequest): void {
  if (prompts.length > 1)
    throw new RequestError(
      `model "auto" chooses for one prompt, got ${prompts.length}. Send them separately.`,
      { param: 'prompt', code: 'invalid_value' },
    )
  if (scales !== undefined)
    throw new RequestError(
      'Both model "auto" and lora name the experts that answer. Give one of them.',
      {
        param: 'lora',
        code: 'invalid_value',
      },
    )
}

const isEscalated = (
  { confidence, expert }: RouteDecision,
  { upstream, escalateBelow = 0, baseAnswers = true }: RoutingOptions,
): boolean =>
  upstream !== undefined && (confidence < escalateBelow || (!baseAnswers && expert === undefined))

/** As a request would name it; undefined: the base. */
function toModel({ expert, mixture }: RouteDecision): string | undefined {
  if (!mixture || mixture.length === 0) return expert
  return formatExpertSpec({ parts: mixture.map(({ name, weight }) => ({ name, weight })) })
}

type OpenReport = { -readonly [Name in keyof RouteReport]: RouteReport[Name] }

const toReport = (decision: RouteDecision, kind: string): OpenReport => ({
  expert: toModel(decision) ?? null,
  confidence: Math.round(decision.confidence * 1e4) / 1e4,
  reason: decision.reason,
  by: decision.by ?? kind,
})

async function* withReport(
  events: AsyncGenerator<AnswerEvent, void>,
  route: RouteReport,
): AsyncGenerator<AnswerEvent, void> {
  for await (const event of events)
    yield event.type === 'start' ? Object.assign({}, event, { route }) : event
}

/**
 * The upstream's answer; the return value is the reason if there was none. An answer that breaks
 * off later is an ordinary error.
 */
async function* callUpstream(
  { upstream, escalateBelow = 0 }: RoutingOptions,
  request: AnswerRequest,
  report: RouteReport,
  signal: AbortSignal | undefined,
): AsyncGenerator<AnswerEvent, string | undefined> {
  const { host } = new URL(upstream!.url)
  const because =
    report.confidence < escalateBelow
      ? `the confidence is ${(report.confidence * 100).toFixed(1)} %`
      : 'no expert that is loaded was chosen'
  const reason = `The upstream ${host} answers, because ${because}.`
  const route = {
    expert: null,
    confidence: report.confidence,
    reason,
    by: report.by,
    upstream: host,
  }
  let isBegun = false
  try {
    for await (const event of streamUpstream(upstream!, request, signal)) {
      isBegun = true
      yield event.type === 'start' ? Object.assign({}, event, { route }) : event
    }
    return undefined
  } catch (error) {
    if (isBegun || signal?.aborted) throw error
    return `The upstream ${host} did not answer: ${error instanceof Error ? error.message : String(error)}`
  }
}

function writeDecision(
  { router, routerSha256, writeRow, logsPrompts, now }: RoutingOptions,
  id: string,
  { text, session, user }: RouteRequest,
  decision: RouteDecision,
  escalated: boolean,
): void {
  writeRow?.(
    writeDecisionRow({
      id,
      time: new Date(now()).toISOString(),
      kind: decision.by ?? router.kind,
      router: routerSha256,
      text: logsPrompts ? text : undefined,
      session,
      user,
      decision,
      escalated,
    }),
  )
}

/** A thumb or a quality as a reward; a correction means that the answer was not good. */
function toReward({ feedback, quality, correction }: FeedbackRequest): number {
  if (quality !== undefined) return quality
  return correction === undefined && feedback === 'up' ? 1 : 0
}

async function takeFeedback(
  service: Service,
  { router, writeRow, learns, now }: RoutingOptions,
  answers: ReadonlyMap<string, RoutedAnswer>,
  given: FeedbackRequest,
): Promise<FeedbackOutcome> {
  const answer = answers.get(given.responseId)
  if (!answer) return service.feedback(given)
  const reward = toReward(given)
  writeRow?.(
    writeOutcomeRow(given.responseId, new Date(now()).toISOString(), { reward, right: undefined }),
  )
  await router.learn?.(Object.assign({ reward }, answer))
  if (learns && answer.request.user !== undefined) return service.feedback(given)
  return { user: given.user ?? '', expert: answer.decision.expert, turn: 0, reward }
}
