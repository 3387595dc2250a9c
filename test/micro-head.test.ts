// One token learned at a head by graftlm/micro is what graftlm/learn does with a turn of one token:
// the same gradient, the same step.
import { spawnSync } from 'node:child_process'
import { join } from 'node:path'
import { expect, it } from 'vitest'
import { random } from '../src/base/random.ts'
import { f32, type F32Tensor } from '../src/base/tensor.ts'
import { createHeadLoss, HeadTier } from '../src/learn/index.ts'
import { HeadRows, MicroLora } from '../src/micro/index.ts'
import type { Head } from '../src/runtime/index.ts'
import { root } from './support/sources.ts'

const width = 32
const vocabulary = 200
const rank = 4
const likeliest = 16
const { normal } = random(1)
const matrix = Float32Array.from({ length: vocabulary * width }, () => 0.4 * normal())
const hidden = Float32Array.from({ length: width }, normal)
const came = 17

function rowsOf(ids: readonly number[]): Float32Array {
  const rows = new Float32Array(ids.length * width)
  for (const [i, id] of ids.entries())
    rows.set(matrix.subarray(id * width, (id + 1) * width), i * width)
  return rows
}
const everything = Array.from({ length: vocabulary }, (_, id) => id)
const logits = Float32Array.from(everything, (id) =>
  rowsOf([id]).reduce((sum, value, i) => sum + value * hidden[i]!, 0),
)
const refused = async (): Promise<F32Tensor> =>
  Promise.reject(new Error('the whole matrix is not needed here'))
const head: Head = {
  width,
  vocabularySize: vocabulary,
  softcap: 0,
  rows: async (ids) => rowsOf(ids),
  logits: refused,
  pullBack: refused,
}
const averageRow = Float32Array.from({ length: width }, (_, i) =>
  everything.reduce((sum, id) => sum + matrix[id * width + i]! / vocabulary, 0),
)
const likely = [
  ...new Set([...everything.toSorted((a, b) => logits[b]! - logits[a]!).slice(0, likeliest), came]),
]

function ownGradient(ids = likely): { loss: number; gradient: Float32Array } {
  const rows = new HeadRows({ width, averageRow })
  const missing = rows.missing(ids)
  rows.add(missing, rowsOf(missing))
  const total = Math.log(logits.reduce((sum, logit) => sum + Math.exp(logit), 0))
  return rows.gradient({ ids, logits: ids.map((id) => logits[id]!), total, came })
}

const distance = (a: Float32Array, b: Float32Array): number =>
  Math.hypot(...a.map((value, i) => value - b[i]!))

it('the gradient over all tokens is that of a turn of one token, whose sample is the whole of so small a vocabulary', async () => {
  const { loss, gradient } = ownGradient(everything)
  const expected = await createHeadLoss(head, likeliest).compute(
    f32([1, vocabulary], logits),
    [came],
    [1],
  )
  expect(loss).toBeCloseTo(expected.losses[0]!, 4)
  expect(distance(gradient, expected.gradient) / Math.hypot(...expected.gradient)).toBeLessThan(
    2e-3,
  ) // learn leaves out the last hundredths of what is unlikely
})

it.each([1e9, 1e-3])('steps are those of the fast tier, trust %f', (trust) => {
  const tier = new HeadTier(width, { rank, learningRate: 2e-3, trust })
  const lora = new MicroLora({
    inFeatures: width,
    outFeatures: width,
    rank,
    alpha: rank,
    optimizer: 'adam',
    clip: Infinity,
  })
  lora
    .module()
    .write('weights', Float32Array.from([...tier.A.data, ...new Float32Array(rank * width)]))
  const { gradient } = ownGradient()
  const cut: boolean[] = []
  for (let step = 0; step < 8; step++) {
    const before = lora.forward(hidden)
    tier.step(hidden, gradient)
    lora.adapt(hidden, { gradient })
    lora.applyUpdates(2e-3, { input: hidden, share: trust })
    const after = lora.forward(hidden)
    cut.push(distance(after, before) > 0.999 * trust * Math.hypot(...hidden))
    const theirs = tier.apply(hidden).map((value, i) => value - hidden[i]!)
    // A cut step is sought by halving, by one more finely than by the other.
    expect(distance(after, theirs)).toBeLessThan(
      (trust > 1 ? 1e-4 : 0.02 * (step + 1)) * Math.max(Math.hypot(...theirs), 1e-3),
    )
  }
  expect(cut.includes(true)).toBe(trust < 1)
})

it('the example learns the tokens that came', () => {
  const { status, stdout, stderr } = spawnSync(
    process.execPath,
    [join(root, 'examples/micro/head.ts')],
    { encoding: 'utf8' },
  )
  expect([status, stderr]).toEqual([0, ''])
  const losses = [...stdout.matchAll(/loss ([\d.]+)/g)].map(([, value]) => Number(value))
  expect(losses).toHaveLength(4)
  expect(losses.at(-1)).toBeLessThan(0.1 * losses[0]!)
})
