// The task for models that follow instructions: intent and slots of a sentence as JSON, from 1,500
// rows of snips_json (CC0) in examples/data.

import { existsSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import {
  scoreSnips,
  snipsSettings,
  snipsSystem,
  type SnipsExample,
  stringifyJson,
} from './snips.ts'
import type { Task, TaskExample } from './task.ts'

/** From src/cli/quickstart and from dist/cli/quickstart alike. */
const folder = new URL('../../../examples/data/snips_json/', import.meta.url)

async function readTaskExamples(file: string): Promise<TaskExample[]> {
  const { readDataFile } = await import('../../node/data.ts')
  const { rows } = await readDataFile(fileURLToPath(new URL(file, folder)))
  return rows.map(({ value }) => ({
    prompt: String(value['text']),
    completion: stringifyJson(value['json']),
  }))
}

const toSnipsExample = ({ prompt, completion }: TaskExample): SnipsExample => ({
  text: prompt,
  json: JSON.parse(completion) as SnipsExample['json'],
})

const { system: _system, ...training } = snipsSettings

export const intentTask: Task = {
  name: 'intents',
  about: 'a sentence in, its intent and slots as JSON out',
  system: snipsSystem,
  missing: () =>
    existsSync(folder)
      ? undefined
      : 'The rows of snips_json are missing: examples/data belongs to the project and to its package.',
  examples: async () => ({
    train: await readTaskExamples('train.jsonl'),
    test: await readTaskExamples('test.jsonl'),
  }),
  // Under three minutes on two cores; all 1,500 rows take about six.
  usualRows: { train: 500, test: 50 },
  config: { rank: 16, alpha: 32, targets: 'all-linear' },
  training,
  answers: { maxTokens: 96, together: 25, opening: '{' },
  score(answers, rows) {
    const { valid, intent, exact, slotF1 } = scoreSnips(rows.map(toSnipsExample), answers)
    return [
      { name: 'valid JSON', value: valid, of: rows.length },
      { name: 'intent', value: intent, of: rows.length },
      { name: 'exact match', value: exact, of: rows.length },
      { name: 'slot F1', value: Number(slotF1.toFixed(3)) },
    ]
  },
  isRight: (answer, row) => scoreSnips([toSnipsExample(row)], [answer]).exact === 1,
}
