// Converts events of the engine to those of clients: texts split into pieces, tokens with their
// texts.

import type { TokenLogprob } from '../../runtime/decode/logprobs.ts'
import type { GenerateEvent } from '../../runtime/engine/request.ts'
import type { AnswerEvent, TokenReport } from '../service.ts'
import type { AnswerPlan } from './answer-plan.ts'
import type { AnswerPiece, AnswerReader } from './answer-reader.ts'

/** The engine's events in the form for clients. */
export function* convertEvent(
  event: GenerateEvent,
  index: number,
  count: number,
  plan: AnswerPlan,
  reader: AnswerReader | undefined,
): Generator<AnswerEvent, void> {
  const { texts, told } = plan
  if (event.promptLogprobs && !told.has(index)) {
    told.add(index)
    yield describePrompt(event.promptLogprobs, index, plan)
  }
  const isDelta = event.type === 'text-delta'
  const tokens = isDelta ? texts && event.tokens?.map((token) => texts.report(token)) : undefined
  const plain = isDelta && event.text !== '' ? [{ text: event.text }] : []
  const pieces = reader ? (isDelta ? reader.push(event.text) : reader.end()) : plain
  yield* convertPieces(pieces, tokens, index, count)
  if (!isDelta) yield describeEnd(event, index, reader)
}

/** Tokens go with the first piece, or alone if there is none. */
function* convertPieces(
  pieces: readonly AnswerPiece[],
  tokens: readonly TokenReport[] | undefined,
  index: number,
  completionTokens: number,
): Generator<AnswerEvent, void> {
  const hasTokens = tokens !== undefined && tokens.length > 0
  const all = pieces.length === 0 && hasTokens ? [{ text: '' }] : pieces
  for (const [i, piece] of all.entries())
    yield {
      type: 'delta',
      index,
      ...piece,
      ...(i === 0 && hasTokens && { tokens }),
      completionTokens,
    }
}

function describeEnd(
  event: GenerateEvent & { readonly type: 'generation-end' },
  index: number,
  reader: AnswerReader | undefined,
): AnswerEvent {
  const { ids, reason, promptTokens, cachedTokens, promptMs, decodeMs } = event
  const isCall = reason !== 'length' && (reader?.calls ?? 0) > 0
  return {
    type: 'end',
    index,
    reason: isCall ? 'calls' : reason,
    ids,
    usage: { promptTokens, cachedTokens, completionTokens: ids.length, reasoningTokens: 0 },
    times: { promptMs, decodeMs },
  }
}

function describePrompt(
  scores: readonly (TokenLogprob | null)[],
  index: number,
  { request, prompts, texts }: AnswerPlan,
): AnswerEvent {
  const { ids, text } = prompts[Math.floor(index / request.copies)]!
  const tokens = scores.map((one, i) =>
    one === null ? { ...texts!.describe(ids[i]!), logprob: null } : texts!.report(one),
  )
  return { type: 'prompt', index, text, tokens }
}
