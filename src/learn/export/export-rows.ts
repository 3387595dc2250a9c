// Turns with feedback as rows of training data: right answers, rated answers, or pairs of a better
// and a worse one. Independent of stores and files.

import { type ExpertText } from '../../adapters/files/expert-text.ts'
import type { ChatMessage } from '../../formats/text/chat-template.ts'
import type { LearningSignal } from '../turns/reward.ts'
import { type ConversationReader, createConversationReader } from './read-conversation.ts'
import type { StoredTurn } from './read-history.ts'

/**
 * 'answers': right answers; 'judged': good and bad answers; 'pairs': a good and a bad answer to one
 * prompt.
 */
export type RowForm = 'answers' | 'judged' | 'pairs'

type Prompt = string | readonly ChatMessage[]

/** An answer to a prompt, and whether it was good. */
export interface JudgedTurn {
  readonly turn: StoredTurn
  readonly prompt: Prompt
  readonly answer: string
  readonly isGood: boolean
}

export interface ExportedTurns {
  readonly judged: readonly JudgedTurn[]
  /** Turns whose prompt does not come back as messages: the template wrote more than those. */
  readonly unread: number
  /** Turns that were neither good nor bad: a quality of one half. */
  readonly undecided: number
}

/**
 * Whether a signal rates the answer as good; undefined if it rates neither way. Latency does not
 * count.
 */
export function isGoodSignal({ quality, feedback }: LearningSignal): boolean | undefined {
  if (quality === undefined) return feedback === 'up'
  return quality === 0.5 ? undefined : quality > 0.5
}

/**
 * The feedback on turns, as text. The expert's tokenizer decodes the ids; without one the list is
 * empty.
 */
export function judgeTurns(turns: readonly StoredTurn[], text: ExpertText): ExportedTurns {
  const { tokenizer, chatTemplate, specialTokens } = text
  const read =
    chatTemplate === undefined ? undefined : createConversationReader(chatTemplate, specialTokens)
  const judged: JudgedTurn[] = []
  let unread = 0
  let undecided = 0
  for (const turn of turns) {
    const prompt = tokenizer && readPrompt(turn.promptIds, text, read)
    const isGood = turn.signal ? isGoodSignal(turn.signal) : true
    if (prompt === undefined) unread++
    else if (isGood === undefined) undecided++
    else {
      const decode = (ids: readonly number[]): string =>
        tokenizer!.decode(ids, { skipSpecialTokens: true })
      judged.push({ turn, prompt, answer: decode(turn.answerIds), isGood })
      if (turn.replacedIds)
        judged.push({ turn, prompt, answer: decode(turn.replacedIds), isGood: false })
    }
  }
  return { judged: judged.filter(({ answer }) => answer.trim() !== ''), unread, undecided }
}

function readPrompt(
  ids: readonly number[],
  { tokenizer, specialTokens }: ExpertText,
  read: ConversationReader | undefined,
): Prompt | undefined {
  if (!read) return tokenizer!.decode(ids, { skipSpecialTokens: true })
  const text = tokenizer!.decode(ids)
  const { bos_token: bos } = specialTokens
  const plain = typeof bos === 'string' && text.startsWith(bos) ? text.slice(bos.length) : text
  return read(text) ?? read(plain)
}

/**
 * Rows in a format that training reads; if an answer was judged twice, the later judgement counts.
 */
export function buildRows(judged: readonly JudgedTurn[], form: RowForm): object[] {
  const latest = [...new Map(judged.map((one) => [toKey(one), one])).values()]
  if (form === 'pairs') return buildPairs(latest)
  const chosen = form === 'answers' ? latest.filter(({ isGood }) => isGood) : latest
  return chosen.map(({ prompt, answer, isGood }) => ({
    prompt,
    completion: toAnswer(prompt, answer),
    ...(form === 'judged' && { label: isGood }),
  }))
}

const toKey = ({ prompt, answer }: JudgedTurn): string => JSON.stringify([prompt, answer])

const toAnswer = (prompt: Prompt, answer: string): Prompt =>
  typeof prompt === 'string' ? answer : [{ role: 'assistant', content: answer }]

/** Each bad answer paired with the newest good one to the same prompt. */
function buildPairs(judged: readonly JudgedTurn[]): object[] {
  const byPrompt = Map.groupBy(judged, ({ prompt }) => JSON.stringify(prompt))
  return [...byPrompt.values()].flatMap((answers) => {
    const good = answers.findLast(({ isGood }) => isGood)
    if (!good) return []
    const { prompt } = good
    return answers
      .filter(({ isGood }) => !isGood)
      .map(({ answer }) => ({
        prompt,
        chosen: toAnswer(prompt, good.answer),
        rejected: toAnswer(prompt, answer),
      }))
  })
}
