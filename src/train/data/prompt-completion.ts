// Pairs: { "prompt": "…", "completion": "…" }, with an optional "system". The completion is
// learned.

import { findTextProblem, type DataFormat } from './data-format.ts'

export const promptCompletion: DataFormat = {
  name: 'prompt-completion',
  syntax: '{ "prompt": "…", "completion": "…" }',
  matches: (row) => 'prompt' in row && 'completion' in row,
  read(row) {
    const { prompt, completion, system } = row
    const problem =
      findTextProblem(row, 'prompt', 'empty allowed') ??
      findTextProblem(row, 'completion', 'not empty') ??
      (system === undefined || system === null
        ? undefined
        : findTextProblem(row, 'system', 'empty allowed'))
    if (problem !== undefined) return problem
    return {
      kind: 'completion',
      prompt: prompt as string,
      completion: completion as string,
      ...(typeof system === 'string' ? { system } : {}),
    }
  },
}
