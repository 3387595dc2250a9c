// Preferences: { "prompt": "…", "chosen": "…", "rejected": "…" }, each a string or, as TRL has it,
// a list of messages. Without a list as the prompt, the messages that both answers begin with are
// the prompt.

import type { ChatMessage } from '../../formats/text/chat-template.ts'
import {
  type DataFormat,
  type DataRecord,
  type SingleExample,
  findTextProblem,
} from './data-format.ts'
import { findMessageProblem } from './messages.ts'

const toPair = (chosen: SingleExample, rejected: SingleExample) =>
  ({ kind: 'pair', chosen, rejected }) as const

function readTexts(row: DataRecord) {
  const { prompt, chosen, rejected, system } = row
  const problem =
    findTextProblem(row, 'prompt', 'empty allowed') ??
    findTextProblem(row, 'chosen', 'not empty') ??
    findTextProblem(row, 'rejected', 'not empty') ??
    (system === undefined || system === null
      ? undefined
      : findTextProblem(row, 'system', 'empty allowed'))
  if (problem !== undefined) return problem
  const answered = (completion: unknown): SingleExample => ({
    kind: 'completion',
    prompt: prompt as string,
    completion: completion as string,
    ...(typeof system === 'string' ? { system } : {}),
  })
  return toPair(answered(chosen), answered(rejected))
}

/** How many messages both lists begin with. */
function countCommonMessages(a: readonly unknown[], b: readonly unknown[]): number {
  let count = 0
  while (
    count < Math.min(a.length, b.length) &&
    JSON.stringify(a[count]) === JSON.stringify(b[count])
  )
    count++
  return count
}

function readMessages({ prompt, chosen, rejected, tools }: DataRecord) {
  for (const [name, list] of [
    ['chosen', chosen],
    ['rejected', rejected],
    ['prompt', prompt],
  ] as const) {
    if (!Array.isArray(list)) {
      if (name === 'prompt') continue // a text beside lists repeats what they begin with
      return `"${name}" must be a list of messages as the other answer is`
    }
    const problem = list.map(findMessageProblem).find((one) => one !== undefined)
    if (problem !== undefined) return `"${name}": ${problem}`
  }
  const opening = Array.isArray(prompt) ? (prompt as ChatMessage[]) : []
  const [better, worse] = [chosen, rejected].map((list) => [
    ...opening,
    ...(list as ChatMessage[]),
  ]) as [ChatMessage[], ChatMessage[]]
  const learnedFrom = opening.length > 0 ? opening.length : countCommonMessages(better, worse)
  for (const [name, list] of [
    ['chosen', better],
    ['rejected', worse],
  ] as const)
    if (!list.slice(learnedFrom).some(({ role }) => role === 'assistant'))
      return `"${name}" has no assistant turn of its own`
  if (better[0]!.role === 'assistant')
    return 'the first message is the assistant\'s own: put a "user" or "system" message before it'
  const chat = (messages: readonly ChatMessage[]): SingleExample => ({
    kind: 'chat',
    messages,
    learnedFrom,
    ...(Array.isArray(tools) ? { tools: tools as object[] } : {}),
  })
  return toPair(chat(better), chat(worse))
}

export const preference: DataFormat = {
  name: 'preference',
  syntax: '{ "prompt": "…", "chosen": "…", "rejected": "…" }',
  matches: (row) => 'chosen' in row && 'rejected' in row,
  read(row) {
    const { chosen, rejected } = row
    if (JSON.stringify(chosen) === JSON.stringify(rejected))
      return '"chosen" and "rejected" are the same'
    return Array.isArray(chosen) || Array.isArray(rejected) ? readMessages(row) : readTexts(row)
  },
}
