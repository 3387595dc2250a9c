// Alpaca's rows: { "instruction": "…", "input": "…", "output": "…" }; the input may be missing or
// empty, "system" and "history" (pairs of earlier instructions and outputs) may be present too. The
// output and those of the history are learned.

import type { ChatMessage } from '../../formats/text/chat-template.ts'
import { readJsonList } from './chat-tools.ts'
import { findTextProblem, type DataFormat } from './data-format.ts'

/**
 * The prompt for models without a chat template, word for word as Alpaca trained
 * (github.com/tatsu-lab/stanford_alpaca, train.py).
 */
function renderAlpacaPrompt(instruction: string, input: string): string {
  return input === ''
    ? 'Below is an instruction that describes a task. Write a response that appropriately completes the request.\n\n' +
        `### Instruction:\n${instruction}\n\n### Response:`
    : 'Below is an instruction that describes a task, paired with an input that provides further context. ' +
        'Write a response that appropriately completes the request.\n\n' +
        `### Instruction:\n${instruction}\n\n### Input:\n${input}\n\n### Response:`
}

/** The turns of a history; the problem where it is not a list of pairs of texts. */
function readHistory(value: unknown): readonly ChatMessage[] | string {
  const list = readJsonList(value)
  if (list === undefined || list === null || list === '') return []
  const isPair = (pair: unknown): pair is [string, string] =>
    Array.isArray(pair) && pair.length === 2 && pair.every((text) => typeof text === 'string')
  if (!Array.isArray(list) || !list.every(isPair))
    return '"history" must be a list of pairs of texts: [["instruction", "output"], …]'
  if (list.some(([, answer]) => answer === '')) return '"history" contains an empty output'
  return list.flatMap(([asked, answer]) => [
    { role: 'user', content: asked },
    { role: 'assistant', content: answer },
  ])
}

export const instruction: DataFormat = {
  name: 'instruction',
  syntax: '{ "instruction": "…", "input": "…", "output": "…" }',
  keys: new Set(['instruction', 'input', 'output', 'system', 'history']),
  matches: (row) => 'instruction' in row && 'output' in row,
  read(row) {
    const { input, system } = row
    const problem =
      findTextProblem(row, 'instruction', 'not empty') ??
      findTextProblem(row, 'output', 'not empty') ??
      ['input', 'system'].flatMap((key) =>
        row[key] === undefined || row[key] === null
          ? []
          : (findTextProblem(row, key, 'empty allowed') ?? []),
      )[0]
    if (problem !== undefined) return problem
    const history = readHistory(row['history'])
    if (typeof history === 'string') return history
    const task = row['instruction'] as string
    const given = typeof input === 'string' ? input : ''
    const prompt = given === '' ? task : `${task}\n${given}` // as LLaMA-Factory joins them
    const completion = row['output'] as string
    const own = typeof system === 'string' && system !== '' ? system : undefined
    if (history.length === 0)
      return Object.assign(
        { kind: 'completion' as const, prompt, completion },
        { plainPrompt: renderAlpacaPrompt(task, given) },
        own !== undefined && { system: own },
      )
    const opening = own === undefined ? [] : [{ role: 'system', content: own }]
    const last = [
      { role: 'user', content: prompt },
      { role: 'assistant', content: completion },
    ]
    return { kind: 'chat', messages: [...opening, ...history, ...last] }
  },
}
