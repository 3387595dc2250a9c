// vLLM's log-probabilities by token id: for an answer as lists with 'token_id:<id>' in place of
// texts, for a prompt as one record of ids per token.

import { isRecord } from '../../base/schema.ts'
import type { RankedToken, TokenLogprob } from '../../runtime/decode/logprobs.ts'

type JsonRecord = Readonly<Record<string, unknown>>

const idMark = /^token_id:(\d+)$/

const compareRanks = (a: RankedToken, b: RankedToken): number =>
  b.logprob - a.logprob || a.id - b.id

/** The scores of an answer's ids in one record, and `count` alternatives of each. */
export function readChosenTokens(
  { logprobs }: JsonRecord,
  ids: readonly number[],
  count: number,
): readonly TokenLogprob[] {
  const given = isRecord(logprobs) ? logprobs : {}
  const chosen = readList(given['token_logprobs'])
  const tops = readList(given['top_logprobs'])
  return ids.map((id, i) => {
    const listed = isRecord(tops[i]) ? Object.entries(tops[i]) : []
    const ranked = listed
      .flatMap(([token, logprob]) => {
        const [, number] = idMark.exec(token) ?? []
        return number === undefined ? [] : [{ id: Number(number), logprob: Number(logprob) }]
      })
      .sort(compareRanks)
    return { id, logprob: Number(chosen[i]), top: ranked.slice(0, count) }
  })
}

/** The scores of a prompt's tokens, the first of which has none; undefined if there are none. */
export function readPromptTokens(
  { prompt_logprobs: given }: JsonRecord,
  prompt: readonly number[],
  count = 0,
): readonly (TokenLogprob | null)[] | undefined {
  if (!Array.isArray(given)) return undefined
  return prompt.map((id, i) => {
    const entry: unknown = given[i]
    if (!isRecord(entry)) return null
    const ranked = Object.entries(entry)
      .map(([key, one]) => ({
        id: Number(key),
        logprob: isRecord(one) ? Number(one['logprob']) : Number.NaN,
      }))
      .sort(compareRanks)
    const own = ranked.find((one) => one.id === id)
    return { id, logprob: own?.logprob ?? Number.NaN, top: ranked.slice(0, count) }
  })
}

const readList = (value: unknown): readonly unknown[] => (Array.isArray(value) ? value : [])
