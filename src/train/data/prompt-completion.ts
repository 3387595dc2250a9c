// Pairs: { "prompt": "…", "completion": "…" }, each a string or, as TRL has it, a list of messages.
// The completion is learned. With "label": true or false it is a rated answer, with "reward" a
// graded one.

import { addSystemMessage, findTurnProblem, readMessages } from './chat-messages.ts'
import { readTools } from './chat-tools.ts'
import {
  findTextProblem,
  type DataFormat,
  type DataRecord,
  type SingleExample,
} from './data-format.ts'
import { checkLastMessages, readSystem, toChatExample } from './messages.ts'
import type { RowLog } from './row-log.ts'

/** A prompt and its answer as lists of messages. */
function readLists(row: DataRecord, log: RowLog): SingleExample | string {
  const { prompt, completion } = row
  for (const [key, list] of [
    ['prompt', prompt],
    ['completion', completion],
  ] as const)
    if (!Array.isArray(list) || list.length === 0)
      return `"${key}" must be a list of messages as the other one is`
  const asked = readMessages(prompt as unknown[], log)
  if (typeof asked === 'string') return `"prompt": ${asked}`
  const answered = readMessages(completion as unknown[], log)
  if (typeof answered === 'string') return `"completion": ${answered}`
  const learnedFrom = asked.messages.length
  const unlearned = [...answered.unlearned].map((i) => i + learnedFrom)
  const both = {
    messages: [...asked.messages, ...answered.messages],
    unlearned: new Set(unlearned),
  }
  const problem = findTurnProblem(both, learnedFrom)
  if (problem !== undefined) return problem
  checkLastMessages(both, log)
  const system = readSystem(row, log)
  if (typeof system === 'string') return system
  const whole = addSystemMessage(both, system.text)
  if (typeof whole === 'string') return whole
  const tools = readTools(row, log)
  if (typeof tools === 'string') return tools
  const added = whole.messages.length - both.messages.length
  return toChatExample(whole, tools, learnedFrom + added)
}

/** The row's prompt and completion, in either form. */
function readAnswer(row: DataRecord, log: RowLog): SingleExample | string {
  const { prompt, completion, system } = row
  if (Array.isArray(prompt) || Array.isArray(completion)) return readLists(row, log)
  const problem =
    findTextProblem(row, 'prompt', 'empty allowed') ??
    findTextProblem(row, 'completion', 'not empty') ??
    (system === undefined || system === null
      ? undefined
      : findTextProblem(row, 'system', 'empty allowed'))
  if (problem !== undefined) return problem
  if (hasValue(row['tools']) || hasValue(row['functions']))
    return '"tools" needs a prompt and a completion that are lists of messages'
  return Object.assign(
    { kind: 'completion' as const, prompt: prompt as string, completion: completion as string },
    typeof system === 'string' && { system },
  )
}

/** Whether a key has a value: not null, not an empty list. */
export const hasValue = (value: unknown): boolean =>
  value !== undefined && value !== null && !(Array.isArray(value) && value.length === 0)

export const promptCompletion: DataFormat = {
  name: 'prompt-completion',
  syntax: '{ "prompt": "…", "completion": "…" }',
  keys: new Set(['prompt', 'completion', 'system', 'tools', 'functions']),
  matches: (row) => 'prompt' in row && 'completion' in row,
  read: readAnswer,
}

/** True and false, also as 1 and 0 and as a string; undefined for anything else. */
function readLabel(label: unknown): boolean | undefined {
  if (typeof label === 'boolean') return label
  if (label === 0 || label === 1) return label === 1
  const text = typeof label === 'string' ? label.toLowerCase() : ''
  return text === 'true' ? true : text === 'false' ? false : undefined
}

export const judged: DataFormat = {
  name: 'judged',
  syntax: '{ "prompt": "…", "completion": "…", "label": true }',
  keys: new Set([...promptCompletion.keys, 'label']),
  matches: (row) => promptCompletion.matches(row) && readLabel(row['label']) !== undefined,
  findMismatch: (row) =>
    promptCompletion.matches(row)
      ? `"label" must be true or false, got ${JSON.stringify(row['label'])?.slice(0, 40) ?? 'nothing'}`
      : undefined,
  read(row, log) {
    const answer = readAnswer(row, log)
    if (typeof answer === 'string') return answer
    return { kind: 'judged', answer, isGood: readLabel(row['label'])! }
  },
}

export const graded: DataFormat = {
  name: 'graded',
  syntax: '{ "prompt": "…", "completion": "…", "reward": 0.5 }',
  keys: new Set([...promptCompletion.keys, 'reward']),
  matches: (row) => promptCompletion.matches(row) && typeof row['reward'] === 'number',
  findMismatch: (row) =>
    promptCompletion.matches(row)
      ? `"reward" must be a number, got ${JSON.stringify(row['reward'])?.slice(0, 40) ?? 'nothing'}`
      : undefined,
  read(row, log) {
    const answer = readAnswer(row, log)
    if (typeof answer === 'string') return answer
    const reward = row['reward'] as number
    return Number.isFinite(reward) ? { kind: 'graded', answer, reward } : '"reward" is not finite'
  },
}
