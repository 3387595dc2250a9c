// Requests of people and where each should go, embedded by a frozen language model.

import { readFile } from 'node:fs/promises'
import { loadModel } from '../../src/node/index.ts'

const file = new URL('../data/snips_json/train.jsonl', import.meta.url)

export interface EmbeddedRequest {
  readonly input: Float32Array
  /** The place it should go to, by number. */
  readonly wanted: number
}

/**
 * Embeddings of one model all have a similar direction; requests differ in the distance from the
 * mean of the first hundred.
 */
function center(data: Float32Array, width: number): (i: number) => Float32Array {
  const middle = Float32Array.from({ length: width }, (_, j) =>
    Array.from({ length: 100 }, (__, i) => data[i * width + j]! / 100).reduce((a, b) => a + b, 0),
  )
  return (i) => {
    const vector = middle.map((value, j) => data[i * width + j]! - value)
    const length = Math.hypot(...vector)
    return vector.map((value) => (3 * value) / length)
  }
}

/** The first requests of snips_json, and how many places there are. */
export async function readRequests(
  count: number,
): Promise<{ requests: EmbeddedRequest[]; places: number }> {
  const lines = (await readFile(file, 'utf8')).split('\n', count)
  const rows = lines.map((line) => JSON.parse(line) as { text: string; json: { intent: string } })
  const intents = [...new Set(rows.map(({ json }) => json.intent))].sort()
  const model = await loadModel('stories260k', { threads: 1 })
  const { data, shape } = await model.embed(rows.map(({ text }) => text))
  await model.dispose()
  const select = center(data, shape[1]!)
  const requests = rows.map(({ json }, i) => ({
    input: select(i),
    wanted: intents.indexOf(json.intent),
  }))
  return { requests, places: intents.length }
}
