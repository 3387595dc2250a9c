// MicroLoRA in a loop: predict, hear, learn, while what is right drifts. The page stays awake
// because it draws after every fifty rounds.

import { MicroLora } from 'graftlm/micro'
import { drawCurve, type Point } from '../shared/curve.ts'
import { createElement, getElement, listenToClicks, waitForFrame } from '../shared/elements.ts'

const width = 48
const answers = 16
const rounds = 3000
const roundsPerFrame = 50

/** The same noise at every run, so that two learning rates can be compared. */
function createNoise(): () => number {
  let state = 7
  return () =>
    ((state = (Math.imul(state, 1103515245) + 12345) & 0x7fffffff) / 0x3fffffff - 1) * 0.5
}

/** What is right: a map of rank 2 that turns slowly, and some noise. */
function computeAnswer(input: Float32Array, time: number, drawNoise: () => number): Float32Array {
  const project = (k: number): number =>
    input.reduce((sum, value, i) => sum + value * Math.sin(k * i + 0.0002 * time), 0) / 5
  const first = project(1)
  const second = project(2)
  return Float32Array.from(
    { length: answers },
    (_, o) => first * Math.cos(o) + second * Math.sin(2 * o) + 0.2 * drawNoise(),
  )
}

async function run(): Promise<void> {
  const rate = Number(getElement('rate', HTMLSelectElement).value)
  const drawNoise = createNoise()
  const lora = new MicroLora({
    inFeatures: width,
    outFeatures: answers,
    rank: 2,
    momentum: 0.5,
    clip: 2,
    seed: 3,
  })
  const points: Point[] = []
  let sum = 0
  for (let time = 1; time <= rounds; time++) {
    const input = Float32Array.from({ length: width }, drawNoise)
    const predicted = lora.forward(input)
    const target = computeAnswer(input, time, drawNoise)
    const error = target.reduce((all, value, i) => all + (value - predicted[i]!) ** 2, 0) / answers
    lora.adapt(input, { target, quality: Math.exp(-100 * error), sessionId: 'page' })
    lora.applyUpdates(rate)
    sum += error
    if (time % roundsPerFrame !== 0) continue
    points.push({ at: time, value: sum / roundsPerFrame })
    sum = 0
    show(lora, points)
    await waitForFrame()
  }
}

function show(lora: MicroLora, points: readonly Point[]): void {
  const { meanQuality, variance } = lora.statistics()
  const { at, value } = points.at(-1)!
  drawCurve(getElement('curve', SVGSVGElement), { points, until: rounds })
  getElement('state', HTMLOutputElement).textContent =
    `after ${at}: error ${value.toFixed(4)}, mean quality ${meanQuality.toFixed(2)}, ` +
    `variance ${variance.toFixed(3)}`
  getElement('warnings', HTMLUListElement).replaceChildren(
    ...lora.warnings().map(({ message }) => createElement('li', '', message)),
  )
}

listenToClicks('start', run)
drawCurve(getElement('curve', SVGSVGElement), { points: [] })
