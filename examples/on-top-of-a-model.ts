// MicroLoRA on top of a base model: requests are embedded by a frozen language model, and a LoRA of
// 291 numbers learns from feedback where each of them should go, in microseconds. Saved and
// restored at the end: node examples/on-top-of-a-model.ts In a project of your own, import from
// 'graftlm/micro' and 'graftlm/node'.

import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { MicroLora } from '../src/micro/index.ts'
import { loadModel } from '../src/node/index.ts'

const lines = (
  await readFile(new URL('data/snips_json/train.jsonl', import.meta.url), 'utf8')
).split('\n', 500)
const requests = lines.map((line) => {
  const { text, json } = JSON.parse(line) as { text: string; json: { intent: string } }
  return { text, intent: json.intent }
})
const intents = [...new Set(requests.map(({ intent }) => intent))].sort()

const model = await loadModel('stories260k', { threads: 1 })
const { data, shape } = await model.embed(requests.map(({ text }) => text))
await model.dispose()
const width = shape[1]!

/**
 * Embeddings of one model all point much the same way; what tells requests apart is the difference
 * from the mean of the first hundred.
 */
const middle = Float32Array.from({ length: width }, (_, j) =>
  Array.from({ length: 100 }, (__, i) => data[i * width + j]! / 100).reduce((a, b) => a + b, 0),
)
function selectEmbedding(i: number): Float32Array {
  const vector = Float32Array.from({ length: width }, (_, j) => data[i * width + j]! - middle[j]!)
  const length = Math.hypot(...vector)
  return vector.map((value) => (3 * value) / length)
}

const computeSoftmax = (values: Float32Array): Float32Array => {
  const exponentials = values.map((value) => Math.exp(value - Math.max(...values)))
  const sum = exponentials.reduce((a, b) => a + b, 0)
  return exponentials.map((value) => value / sum)
}
const chooseLargest = (values: Float32Array): number => values.indexOf(Math.max(...values))
const createRouter = (): MicroLora =>
  new MicroLora({
    inFeatures: width,
    outFeatures: intents.length,
    rank: 4,
    optimizer: 'adam',
    bias: true,
    trustRadius: 1,
    seed: 1,
  })

/**
 * Requests pass once; each is routed before anything is learned from it. Returns how many of each
 * hundred went where they should.
 */
function learn(lora: MicroLora, feedback: 'corrections' | 'thumbs', rate: number): number[] {
  const right = Array.from({ length: requests.length / 100 }, () => 0)
  requests.forEach(({ intent }, i) => {
    const input = selectEmbedding(i)
    const scores = lora.forward(input)
    const routed = chooseLargest(scores)
    const wanted = intents.indexOf(intent)
    if (routed === wanted) right[Math.floor(i / 100)]!++
    // Somebody who says where it should have gone gives a gradient, softmax − one-hot; a thumb only
    // says how good the choice was.
    if (feedback === 'corrections')
      lora.adapt(input, {
        gradient: computeSoftmax(scores).map((p, k) => (k === wanted ? p - 1 : p)),
      })
    else lora.adapt(input, { emitted: routed, verdict: routed === wanted ? 'good' : 'bad' })
    lora.applyUpdates(rate)
  })
  return right
}

const corrected = createRouter()
const judged = createRouter()
const show = (name: string, right: readonly number[]): void =>
  console.log(name.padEnd(14) + right.map((count) => `${count} %`.padStart(7)).join(''))
console.log(
  `${intents.length} places to go to; right of each hundred requests, routed before learning from them`,
)
show('corrections', learn(corrected, 'corrections', 0.02))
show('thumbs', learn(judged, 'thumbs', 0.003))

const folder = await mkdtemp(join(tmpdir(), 'graft-router-'))
const path = join(folder, 'router.safetensors')
await writeFile(path, corrected.toSafetensors())
const again = await MicroLora.fromSafetensors(await readFile(path))
const same = requests.filter(
  (_, i) =>
    chooseLargest(again.forward(selectEmbedding(i))) ===
    chooseLargest(corrected.forward(selectEmbedding(i))),
).length
console.log(
  `saved, ${corrected.statistics().parameters} parameters; restored, it routes ${same} of ${requests.length} requests to the same place`,
)
await rm(folder, { recursive: true })
