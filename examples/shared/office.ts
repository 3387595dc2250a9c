// People of an office who ask for JSON, and what a model of stories must stay good at.

import { readFile } from 'node:fs/promises'
import type { TurnExample } from '../../src/learn/index.ts'
import type { LoadedModel } from '../../src/node/index.ts'

const file = new URL('../data/snips_json/train.jsonl', import.meta.url)

/** The first rows of snips_json as turns. */
export async function readTurns(count: number): Promise<TurnExample[]> {
  const lines = (await readFile(file, 'utf8')).split('\n', count)
  return lines.map((line) => {
    const { text, json } = JSON.parse(line) as { text: string; json: object }
    return { prompt: `${text}\n`, completion: JSON.stringify(json) }
  })
}

export const stories: readonly TurnExample[] = [
  {
    prompt: 'Once upon a time',
    completion: ', there was a little girl named Lily. She loved to play outside in the park.',
  },
  {
    prompt: 'One day',
    completion: ', Tom and his mom went to the zoo. They saw a big lion and a small bird.',
  },
  {
    prompt: 'The dog',
    completion: ' was very happy. He ran to the ball and played with it all day.',
  },
]

/** What it must not forget, the model writes itself. */
export async function writeStory(model: LoadedModel, seed: number): Promise<TurnExample> {
  const prompt = ['Lily', 'Tom', 'There was', 'The cat', 'They', 'One day'][seed % 6]!
  for await (const event of model.generate(prompt, { maxTokens: 40, temperature: 1, seed }))
    if (event.type === 'generation-end') return { prompt, completion: event.text }
  throw new Error('the last event of an answer is generation-end')
}

export const computeMean = (values: ArrayLike<number>): number =>
  Array.from(values).reduce((sum, value) => sum + value, 0) / values.length
