// A sentence in, its intent and slots as JSON out: 1,500 rows of snips_json (CC0), which lie in examples/data.

import { readDataFile } from '../../node/data.ts'
import { fileURLToPath } from 'node:url'
import { scoreIntents } from './intent-scores.ts'
import { pythonJson } from './json-text.ts'
import type { Task, TaskRow } from './task.ts'

/** From src/cli/quickstart and from dist/cli/quickstart alike. */
const folder = new URL('../../../examples/data/snips_json/', import.meta.url)

async function readRows(file: string): Promise<TaskRow[]> {
  const { rows } = await readDataFile(fileURLToPath(new URL(file, folder)))
  return rows.map(({ value }) => ({ prompt: String(value['text']), completion: pythonJson(value['json']) }))
}

export const intentTask: Task = {
  name: 'intents',
  about: 'a sentence in, its intent and slots as JSON out',
  system: 'Intent and slots as JSON.',
  rows: async () => ({ train: await readRows('train.jsonl'), test: await readRows('test.jsonl') }),
  config: { rank: 16, alpha: 32, targets: 'all-linear' },
  // About eight rows a step, as the reference run with PEFT has them; the highest learning rate that was stable there.
  training: { learningRate: 2e-3, epochs: 1, batch: { rows: 2, tokens: 224 }, seed: 0 },
  answers: { maxTokens: 96, together: 25 },
  score(answers, rows) {
    const scores = scoreIntents(answers, rows.map(({ completion }) => completion)) // prettier-ignore
    const { valid, intent, exact, slotF1 } = scores
    return { rows: rows.length, values: { 'valid JSON': valid, intent, 'exact match': exact, 'slot F1': Number(slotF1.toFixed(3)) } }
  },
}
