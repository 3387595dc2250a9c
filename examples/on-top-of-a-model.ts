// MicroLoRA on top of a base model: requests are embedded by a frozen language model, and a LoRA of
// 291 numbers learns from feedback where each should go, in microseconds: node
// examples/on-top-of-a-model.ts; in your own project, import from 'graftlm/micro'.

import { MicroLora } from '../src/micro/index.ts'
import { readRequests } from './shared/embedded-requests.ts'

const { requests, places } = await readRequests(500)
const inFeatures = requests[0]!.input.length
const shape = { inFeatures, outFeatures: places, rank: 4, bias: true, seed: 1 }
const createRouter = (): MicroLora => {
  return new MicroLora(Object.assign({ optimizer: 'adam', trustRadius: 1 } as const, shape))
}
const chooseLargest = (values: Float32Array): number => values.indexOf(Math.max(...values))

/** softmax(scores) − one-hot(wanted): the gradient of a user who names the right place. */
function computeGradient(scores: Float32Array, wanted: number): Float32Array {
  const powers = scores.map((value) => Math.exp(value - Math.max(...scores)))
  const sum = powers.reduce((a, b) => a + b, 0)
  return powers.map((value, k) => value / sum - (k === wanted ? 1 : 0))
}

/**
 * Requests pass once; each is routed before anything is learned from it. Returns how many of each
 * hundred went where they should.
 */
function learn(lora: MicroLora, feedback: 'corrections' | 'thumbs', rate: number): number[] {
  const right = Array.from({ length: requests.length / 100 }, () => 0)
  requests.forEach(({ input, wanted }, i) => {
    const scores = lora.forward(input)
    const routed = chooseLargest(scores)
    if (routed === wanted) right[Math.floor(i / 100)]!++
    const verdict = routed === wanted ? 'good' : 'bad'
    if (feedback === 'thumbs') lora.adapt(input, { emitted: routed, verdict })
    else lora.adapt(input, { gradient: computeGradient(scores, wanted) })
    lora.applyUpdates(rate)
  })
  return right
}

const corrected = createRouter()
const show = (name: string, right: readonly number[]): void =>
  console.log(name.padEnd(14) + right.map((count) => `${count} %`.padStart(7)).join(''))
console.log(`${places} places; right of each hundred requests, routed before learning from them`)
show('corrections', learn(corrected, 'corrections', 0.02))
show('thumbs', learn(createRouter(), 'thumbs', 0.003))

const again = await MicroLora.fromSafetensors(corrected.toSafetensors())
const isSame = ({ input }: (typeof requests)[number]): boolean =>
  chooseLargest(again.forward(input)) === chooseLargest(corrected.forward(input))
const { parameters } = corrected.statistics()
const same = requests.filter(isSame).length
console.log(
  `saved, ${parameters} parameters; restored, it routes ${same} of ${requests.length} requests to the same place`,
)
