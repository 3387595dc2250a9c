// Preferences: { "prompt": "…", "chosen": "…", "rejected": "…" }, each a string or, as TRL has it,
// a list of messages. If the prompt is not a list, the messages with which both answers begin are
// the prompt.

import {
  addSystemMessage,
  findTurnProblem,
  readMessages,
  type ReadMessages,
} from './chat-messages.ts'
import { readTools } from './chat-tools.ts'
import {
  type DataFormat,
  type DataRecord,
  type Example,
  type SingleExample,
  findTextProblem,
} from './data-format.ts'
import { checkLastMessages, readSystem, toChatExample } from './messages.ts'
import { hasValue } from './prompt-completion.ts'
import type { RowLog } from './row-log.ts'

const toPair = (chosen: SingleExample, rejected: SingleExample) =>
  ({ kind: 'pair', chosen, rejected }) as const

function readTexts(row: DataRecord): Example | string {
  const { prompt, chosen, rejected, system } = row
  const problem =
    findTextProblem(row, 'prompt', 'empty allowed') ??
    findTextProblem(row, 'chosen', 'not empty') ??
    findTextProblem(row, 'rejected', 'not empty') ??
    (system === undefined || system === null
      ? undefined
      : findTextProblem(row, 'system', 'empty allowed'))
  if (problem !== undefined) return problem
  if (hasValue(row['tools']) || hasValue(row['functions']))
    return '"tools" needs answers that are lists of messages'
  const toAnswer = (completion: unknown): SingleExample =>
    Object.assign(
      { kind: 'completion' as const, prompt: prompt as string, completion: completion as string },
      typeof system === 'string' && { system },
    )
  return toPair(toAnswer(chosen), toAnswer(rejected))
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

/** The lists of a row: each read, or the first problem. */
function readLists(
  { prompt, chosen, rejected }: DataRecord,
  log: RowLog,
): { opening: ReadMessages; better: ReadMessages; worse: ReadMessages } | string {
  const lists: ReadMessages[] = []
  for (const [name, list] of [
    ['chosen', chosen],
    ['rejected', rejected],
    ['prompt', prompt],
  ] as const) {
    if (!Array.isArray(list) && name !== 'prompt')
      return `"${name}" must be a list of messages as the other answer is`
    // next to lists, a prompt that is a string repeats their beginning
    if (typeof list === 'string') log.leftOut.add('prompt')
    const read = readMessages(Array.isArray(list) ? list : [], log)
    if (typeof read === 'string') return `"${name}": ${read}`
    lists.push(read)
  }
  const [better, worse, opening] = lists as [ReadMessages, ReadMessages, ReadMessages]
  return { opening, better, worse }
}

function joinMessages(first: ReadMessages, then: ReadMessages): ReadMessages {
  const messages = [...first.messages, ...then.messages]
  const moved = [...then.unlearned].map((i) => i + first.messages.length)
  return { messages, unlearned: new Set([...first.unlearned, ...moved]) }
}

function readAnswers(row: DataRecord, log: RowLog): Example | string {
  const lists = readLists(row, log)
  if (typeof lists === 'string') return lists
  const { opening, better, worse } = lists
  const learnedFrom =
    opening.messages.length > 0
      ? opening.messages.length
      : countCommonMessages(better.messages, worse.messages)
  const system = readSystem(row, log)
  if (typeof system === 'string') return system
  const tools = readTools(row, log)
  if (typeof tools === 'string') return tools
  const answers: SingleExample[] = []
  for (const [name, own] of [
    ['chosen', joinMessages(opening, better)],
    ['rejected', joinMessages(opening, worse)],
  ] as const) {
    const isLearned = ({ role }: { role: string }, i: number): boolean =>
      role === 'assistant' && i >= learnedFrom && !own.unlearned.has(i)
    if (!own.messages.some(isLearned)) return `"${name}" has no own assistant turn`
    const problem = findTurnProblem(own, learnedFrom)
    if (problem !== undefined)
      return problem.startsWith('message') ? `"${name}": ${problem}` : problem
    checkLastMessages(own, log)
    const whole = addSystemMessage(own, system.text)
    if (typeof whole === 'string') return whole
    const added = whole.messages.length - own.messages.length
    answers.push(toChatExample(whole, tools, learnedFrom + added))
  }
  return toPair(answers[0]!, answers[1]!)
}

export const preference: DataFormat = {
  name: 'preference',
  syntax: '{ "prompt": "…", "chosen": "…", "rejected": "…" }',
  keys: new Set(['prompt', 'chosen', 'rejected', 'system', 'tools', 'functions']),
  matches: (row) => 'chosen' in row && 'rejected' in row,
  read(row, log) {
    const { chosen, rejected } = row
    if (JSON.stringify(chosen) === JSON.stringify(rejected))
      return '"chosen" and "rejected" are the same'
    return Array.isArray(chosen) || Array.isArray(rejected) ? readAnswers(row, log) : readTexts(row)
  },
}
