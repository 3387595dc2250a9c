// MicroLoRA in a loop: it predicts, hears what would have been right and how good it was, and
// learns at once, while what is right drifts. node examples/micro/online-loop.ts

import { MicroLora } from '../../src/micro/index.ts'

const width = 48
const answers = 16
const lora = new MicroLora({
  inFeatures: width,
  outFeatures: answers,
  rank: 2,
  momentum: 0.5,
  clip: 2,
  seed: 3,
})

let state = 7
const drawNoise = (): number =>
  ((state = (Math.imul(state, 1103515245) + 12345) & 0x7fffffff) / 0x3fffffff - 1) * 0.5

/**
 * What is right: a map of rank 2 that turns slowly, and some noise. Any program, user or larger
 * model may be used here.
 */
function computeAnswer(input: Float32Array, time: number): Float32Array {
  const [first, second] = [0, 1].map(
    (k) =>
      input.reduce((sum, value, i) => sum + value * Math.sin((k + 1) * i + 0.0002 * time), 0) / 5,
  ) as [number, number]
  return Float32Array.from(
    { length: answers },
    (_, o) => first * Math.cos(o) + second * Math.sin(2 * o) + 0.2 * drawNoise(),
  )
}

let sum = 0
let heard = 0
for (let time = 1; time <= 3000; time++) {
  const input = Float32Array.from({ length: width }, drawNoise)
  const predicted = lora.forward(input)
  const target = computeAnswer(input, time)
  const error =
    target.reduce((total, value, i) => total + (value - predicted[i]!) ** 2, 0) / answers
  lora.adapt(input, { target, quality: Math.exp(-100 * error), sessionId: 'demo' })
  lora.applyUpdates(0.1)
  sum = sum + error
  heard = heard + 1
  if (time % 500 !== 0) continue
  const { meanQuality, variance } = lora.statistics()
  console.log(
    `after ${time}: mean error ${(sum / heard).toFixed(4)}, mean quality ${meanQuality.toFixed(2)}, variance ${variance.toFixed(3)}`,
  )
  sum = 0
  heard = 0
}
const warnings = lora.warnings().map(({ message }) => message)
console.log('warnings:', warnings.join(' ') || 'none')
