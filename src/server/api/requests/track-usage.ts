// Follows an answer's events and reports its usage, however it ends.

import { describeGrammarFault } from './grammar-path.ts'
import type { RouteCall, UsageReport } from '../../route.ts'
import type { AnswerEvent, AnswerRequest } from '../../service.ts'

/** A running answer: its events, and how to end it. */
export interface RunningAnswer {
  readonly events: AsyncGenerator<AnswerEvent, void>
  /** Called when the client has disconnected. */
  abort(): void
}

/** Starts an answer that ends when the client disconnects, and reports its usage. */
export function startAnswer(
  { service, signal, context, body }: RouteCall,
  request: AnswerRequest,
  user: string | undefined,
  responseId: string,
): RunningAnswer {
  const gone = new AbortController()
  const either = AbortSignal.any([signal, gone.signal])
  const tenant = joinTenant(context.get('tenant'), request.tenant)
  const asked = Object.assign({}, request, { user, responseId, tenant })
  const report = context.get('reportUsage')
  const events = trackUsage(
    describeFaults(service.generate(asked, either), body),
    request.copies,
    (usage) => report?.({ ...usage, user, end: either.aborted ? 'cancelled' : usage.end }),
  )
  return { events, abort: () => gone.abort(new DOMException('The client has gone.', 'AbortError')) }
}

async function* describeFaults(
  events: AsyncGenerator<AnswerEvent, void>,
  body: unknown,
): AsyncGenerator<AnswerEvent, void> {
  try {
    yield* events
  } catch (error) {
    throw describeGrammarFault(error, body)
  }
}

const joinTenant = (own: string | undefined, salt: string | undefined): string | undefined =>
  own === undefined ? salt : salt === undefined ? own : `${own}\n${salt}`

async function* trackUsage(
  events: AsyncGenerator<AnswerEvent, void>,
  copies: number,
  report: (usage: Omit<UsageReport, 'user'>) => void,
): AsyncGenerator<AnswerEvent, void> {
  const written = new Map<number, number>()
  const total = { promptTokens: 0, cachedTokens: 0, reasoningTokens: 0, promptMs: 0, decodeMs: 0 }
  let expert: string | undefined
  let isStarted = false
  let end: UsageReport['end'] = 'cancelled'
  try {
    for await (const event of events) {
      if (event.type === 'start') {
        isStarted = true
        expert = event.expert
        total.promptTokens = event.promptTokens.reduce((sum, count) => sum + count, 0)
      } else if (event.type === 'delta') written.set(event.index, event.completionTokens)
      else if (event.type === 'end') {
        const { usage, times, index } = event
        written.set(index, usage.completionTokens)
        if (index % copies === 0) total.cachedTokens += usage.cachedTokens
        total.reasoningTokens += usage.reasoningTokens
        total.promptMs = Math.max(total.promptMs, times.promptMs)
        total.decodeMs = Math.max(total.decodeMs, times.decodeMs)
      }
      yield event
    }
    end = 'done'
  } catch (error) {
    end = 'failed'
    throw error
  } finally {
    const completionTokens = [...written.values()].reduce((sum, count) => sum + count, 0)
    if (isStarted) report({ ...total, completionTokens, expert, end })
  }
}
