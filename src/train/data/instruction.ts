// Alpaca's rows: { "instruction": "…", "input": "…", "output": "…" }; the input may be missing or
// empty. The output is learned.

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

export const instruction: DataFormat = {
  name: 'instruction',
  syntax: '{ "instruction": "…", "input": "…", "output": "…" }',
  matches: (row) => 'instruction' in row && 'output' in row,
  read(row) {
    const { input } = row
    const problem =
      findTextProblem(row, 'instruction', 'not empty') ??
      findTextProblem(row, 'output', 'not empty') ??
      (input === undefined || input === null
        ? undefined
        : findTextProblem(row, 'input', 'empty allowed'))
    if (problem !== undefined) return problem
    const task = row['instruction'] as string
    const given = typeof input === 'string' ? input : ''
    return {
      kind: 'completion',
      prompt: given === '' ? task : `${task}\n\n${given}`,
      plainPrompt: renderAlpacaPrompt(task, given),
      completion: row['output'] as string,
    }
  },
}
