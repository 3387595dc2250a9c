// Pairs: { "prompt": "…", "completion": "…" }, with an optional "system". The completion is
// learned.

import { textProblem, type DataFormat } from './data-format.ts'

export const promptCompletion: DataFormat = {
  name: 'prompt-completion',
  looks: '{ "prompt": "…", "completion": "…" }',
  fits: (row) => 'prompt' in row && 'completion' in row,
  read(row) {
    const { prompt, completion, system } = row
    const problem =
      textProblem(row, 'prompt', 'empty allowed') ??
      textProblem(row, 'completion', 'not empty') ??
      (system === undefined || system === null
        ? undefined
        : textProblem(row, 'system', 'empty allowed'))
    if (problem !== undefined) return problem
    return {
      kind: 'completion',
      prompt: prompt as string,
      completion: completion as string,
      ...(typeof system === 'string' ? { system } : {}),
    }
  },
}
