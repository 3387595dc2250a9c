// Learning one token at a time at a language model's head, from the 64 most likely tokens alone.
// The head here is made up: 500 tokens of width 64; with a real model, hidden states, logits and
// rows come from whatever serves it. node examples/micro/head.ts; in your own project, import from
// 'graftlm/micro'.

import { HeadRows, MicroLora } from '../../src/micro/index.ts'

const width = 64
const vocabulary = 500
const computeRow = (token: number): Float32Array =>
  Float32Array.from({ length: width }, (_, i) => Math.sin((token + 1) * (i + 1) * 12.9898) / 4)
const everything = Array.from({ length: vocabulary }, (_, token) => token)

const rows = new HeadRows({ width, capacity: 256, averageRow: new Float32Array(width) })
const lora = new MicroLora({
  inFeatures: width,
  outFeatures: width,
  rank: 4,
  alpha: 4,
  optimizer: 'adam',
})

/** Returns the loss of the target token, and learns it. */
function learn(hidden: Float32Array, came: number): number {
  const changed = hidden.slice() // h′ = h + B·A·h: what the head is given
  lora.forwardAdd(hidden, changed)
  const logits = everything.map((token) =>
    computeRow(token).reduce((sum, weight, i) => sum + weight * changed[i]!, 0),
  )
  const total = Math.log(logits.reduce((sum, logit) => sum + Math.exp(logit), 0))
  const likeliest = everything.toSorted((a, b) => logits[b]! - logits[a]!).slice(0, 64)
  const ids = [...new Set([...likeliest, came])]

  // read once, kept while they are in use
  for (const token of rows.missing(ids)) rows.add([token], computeRow(token))
  const { loss, gradient } = rows.gradient({
    ids,
    logits: ids.map((token) => logits[token]!),
    total,
    came,
  })
  lora.adapt(hidden, { gradient })
  // no step moves h′ by more than a tenth of its length
  lora.applyUpdates(0.002, { input: hidden, share: 0.1 })
  return loss
}

const places = [1, 2, 3].map((seed) => ({
  hidden: Float32Array.from({ length: width }, (_, i) => Math.cos(seed * i)),
  came: 100 * seed,
}))
for (let round = 0; round <= 60; round++) {
  const losses = places.map(({ hidden, came }) => learn(hidden, came))
  if (round % 20 === 0)
    console.log(
      `round ${round}: loss ${(losses.reduce((sum, loss) => sum + loss) / losses.length).toFixed(3)}`,
    )
}
