// MicroLoRA, basic use: one input, one output that it should have had. node examples/micro/basic.ts
// In your own project, import from 'graftlm/micro'.

import { MicroLora } from '../../src/micro/index.ts'

const lora = new MicroLora({ inFeatures: 64, outFeatures: 32, rank: 2, seed: 1 })
const input = Float32Array.from({ length: 64 }, (_, i) => Math.sin(i))
const target = Float32Array.from({ length: 32 }, (_, i) => Math.cos(i))

const measureError = (): string => {
  const y = lora.forward(input)
  return target.reduce((sum, value, i) => sum + (value - y[i]!) ** 2, 0).toFixed(4)
}

console.log(`rank ${lora.config.rank}, ${lora.statistics().bytes} bytes, ${lora.kernels} kernels`)
console.log(`before: error ${measureError()}`)
for (let step = 0; step < 100; step++) {
  lora.adapt(input, { target }) // gathers the true gradient of ½‖y − target‖²
  lora.applyUpdates(0.05) // moves down it
}
console.log(`after 100 steps: error ${measureError()}`)

// An existing layer is not changed: the adapter's output is added to its output.
const output = new Float32Array(32).fill(1)
lora.forwardAdd(input, output)
console.log(
  `with a base layer's output of 1: ${output[0]!.toFixed(2)}, ${output[1]!.toFixed(2)}, …`,
)
