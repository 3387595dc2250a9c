// MicroLoRA, basic use in a page: create one, apply it, teach it what its output should have been.

import { MicroLora } from 'graftlm/micro'
import { drawCurve, type Point } from '../shared/curve.ts'
import { getElement, listenToClicks } from '../shared/elements.ts'

const features = 768
const input = Float32Array.from({ length: features }, (_, i) => Math.sin(i))
const target = Float32Array.from({ length: features }, (_, i) => Math.cos(i / 3))
const rank = getElement('rank', HTMLSelectElement)
const errors: Point[] = []

const createAdapter = (): MicroLora =>
  new MicroLora({
    inFeatures: features,
    outFeatures: features,
    rank: Number(rank.value),
    seed: 1,
  })
let lora = createAdapter()

/** The mean squared difference between what it gives and what it should give. */
const measureError = (): number =>
  lora.forward(input).reduce((sum, value, i) => sum + (value - target[i]!) ** 2, 0) / features

function learn(steps: number): void {
  for (let step = 0; step < steps; step++) {
    lora.adapt(input, { target }) // gathers the gradient of ½‖y − target‖²
    lora.applyUpdates(0.05) // moves down it
    errors.push({ at: errors.length, value: measureError() })
  }
}

function show(): void {
  const { adaptations, bytes, parameters } = lora.statistics()
  drawCurve(getElement('curve', SVGSVGElement), { points: errors })
  getElement('state', HTMLOutputElement).textContent =
    `error ${measureError().toFixed(4)} after ${adaptations} steps; ` +
    `${parameters} numbers, ${bytes} bytes, ${lora.kernels} kernels`
}

function startAgain(): void {
  lora.dispose()
  lora = createAdapter()
  errors.splice(0, errors.length, { at: 0, value: measureError() })
  show()
}

listenToClicks('step', () => {
  learn(1)
  show()
})
listenToClicks('many', () => {
  learn(100)
  show()
})
listenToClicks('reset', startAgain)
rank.addEventListener('change', startAgain)
startAgain()
