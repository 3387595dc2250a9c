// Collects the events of answers by their index, for responses that are not streamed.

import type { RouteReport } from '../../../route/router.ts'
import type {
  AnswerEnd,
  AnswerEvent,
  AnswerTimes,
  AnswerUsage,
  ShownToken,
  TokenReport,
} from '../../service.ts'

export interface CollectedCall {
  readonly id: string
  readonly name: string
  arguments: string
}

export interface CollectedAnswer {
  text: string
  reasoning: string
  readonly calls: CollectedCall[]
  tokens: TokenReport[] | undefined
  promptTokens: readonly (TokenReport | (ShownToken & { readonly logprob: null }))[] | undefined
  ids: readonly number[]
  reason: AnswerEnd
  usage: AnswerUsage
  times: AnswerTimes
}

export interface CollectedAnswers {
  readonly model: string
  readonly expert: string | undefined
  readonly seed: number
  readonly promptTokens: readonly number[]
  readonly promptTexts: readonly string[]
  readonly route: RouteReport | undefined
  readonly answers: readonly CollectedAnswer[]
}

export async function collectAnswers(
  events: AsyncIterable<AnswerEvent>,
): Promise<CollectedAnswers> {
  const answers: CollectedAnswer[] = []
  let start: (AnswerEvent & { readonly type: 'start' }) | undefined
  for await (const event of events) {
    if (event.type === 'start') start = event
    else addToAnswer((answers[event.index] ??= createAnswer()), event)
  }
  const { model, expert, seed, promptTokens, promptTexts, route } = start!
  return { model, expert, seed, promptTokens, promptTexts, route, answers }
}

const createAnswer = (): CollectedAnswer => ({
  text: '',
  reasoning: '',
  calls: [],
  tokens: undefined,
  promptTokens: undefined,
  ids: [],
  reason: 'length',
  usage: { promptTokens: 0, cachedTokens: 0, completionTokens: 0, reasoningTokens: 0 },
  times: { promptMs: 0, decodeMs: 0 },
})

function addToAnswer(
  answer: CollectedAnswer,
  event: Exclude<AnswerEvent, { readonly type: 'start' }>,
): void {
  if (event.type === 'prompt') answer.promptTokens = event.tokens
  else if (event.type === 'end') {
    answer.reason = event.reason
    answer.ids = event.ids
    answer.usage = event.usage
    answer.times = event.times
  } else {
    const { text = '', reasoning = '', call, tokens } = event
    answer.text += text
    answer.reasoning += reasoning
    if (tokens) (answer.tokens ??= []).push(...tokens)
    if (!call) return
    const { id, name, arguments: more } = call
    if (id !== undefined && name !== undefined)
      answer.calls[call.call] = { id, name, arguments: more }
    else answer.calls[call.call]!.arguments += more
  }
}

/** Usage of all answers together: a prompt counts once, however many answers it has. */
export function sumUsage(usages: readonly AnswerUsage[], copies: number): AnswerUsage {
  const total = { promptTokens: 0, cachedTokens: 0, completionTokens: 0, reasoningTokens: 0 }
  usages.forEach((usage, i) => {
    if (i % copies === 0) {
      total.promptTokens += usage.promptTokens
      total.cachedTokens += usage.cachedTokens
    }
    total.completionTokens += usage.completionTokens
    total.reasoningTokens += usage.reasoningTokens
  })
  return total
}
