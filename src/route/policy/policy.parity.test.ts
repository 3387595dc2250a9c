// FastGRNN, its loss and the gradients of back-propagation through time against the paper's
// formulas in PyTorch (test/parity/make_policy.py).

import { beforeAll, describe, expect, it } from 'vitest'
import { readTensors } from '../../../test/support/adapters.ts'
import { f32, type Tensor } from '../../base/tensor.ts'
import { evaluate } from '../../graph/evaluate.ts'
import { expectClose } from '../../graph/testing.ts'
import { buildPolicyGradients, gradientOf } from './policy-graph.ts'
import { headNames, type PolicyShape } from './policy-weights.ts'
import { createPolicyRunner } from './policy-runner.ts'
import { runPolicy } from './run-policy.ts'

const file = new URL('../../../test/parity/policy/expected.safetensors', import.meta.url)
let expected: ReadonlyMap<string, Tensor>
const numbersOf = (name: string): number[] =>
  Array.from(expected.get(name)!.data as Float64Array, Number)

beforeAll(async () => {
  expected = await readTensors(file)
})

const ofNumbers = (shape: readonly number[], values: readonly number[]): Tensor => ({
  dtype: 'f64',
  shape,
  data: Float64Array.from(values),
})

const rows = 3
const steps = 4
const shapeOf = (reads: PolicyShape['reads']): PolicyShape => ({
  buckets: rows * steps,
  width: 5,
  hidden: 6,
  inputRank: 3,
  stateRank: 2,
  experts: 4,
  tiers: 2,
  reads,
})
const isWeight = (name: string): boolean =>
  /^(?:[WU][12]|\w+Bias|zeta|nu|\w+\.(?:weight|bias))$/.test(name) && !name.startsWith('wanted')

/** Column t of what has the shape [N, T, …]. */
function sliceStep(name: string, t: number, width: number): Tensor {
  const values = numbersOf(name)
  const data = Float64Array.from({ length: rows * width }, (_, i) => {
    const row = Math.floor(i / width)
    return values[(row * steps + t) * width + (i % width)]!
  })
  return { dtype: 'f64', shape: [rows, width], data }
}

function createFeeds(): Map<string, Tensor> {
  const feeds = new Map<string, Tensor>()
  const lengths = numbersOf('lengths')
  for (let t = 0; t < steps; t++) {
    const present = sliceStep('present', t, 1)
    feeds.set(`word${t}`, sliceStep('words', t, 5)).set(`present${t}`, present)
    const share = Float64Array.from(present.data as Float64Array, (is, n) => is / lengths[n]!)
    feeds.set(`share${t}`, { dtype: 'f64', shape: [rows, 1], data: share })
  }
  feeds.set('kept', expected.get('kept')!)
  for (const head of headNames) {
    feeds.set(`wanted.${head}`, expected.get(`wanted.${head}`)!)
    feeds.set(`counts.${head}`, ofNumbers([rows], new Array<number>(rows).fill(1 / rows)))
  }
  for (const [name, tensor] of expected) if (isWeight(name)) feeds.set(name, tensor)
  return feeds
}

describe.each(['last', 'mean'] as const)('a policy whose heads read the %s state', (reads) => {
  it('has PyTorch’s logits, loss and gradients', () => {
    const feeds = createFeeds().set('table', f32([12, 5]))
    const results = evaluate(buildPolicyGradients(shapeOf(reads), steps), feeds)
    for (const head of headNames)
      expectClose(results.get(head), expected.get(`${reads}.${head}`)!, 1e-12, head)
    expect(results.get('loss')!.data[0]).toBeCloseTo(numbersOf(`${reads}.loss`)[0]!, 7)
    const names = [...feeds.keys()].filter(isWeight)
    expect(names).toHaveLength(14)
    for (const name of names)
      expectClose(
        results.get(gradientOf(name)),
        expected.get(`${reads}.gradient.${name}`)!,
        1e-7,
        name,
      )
    for (let t = 0; t < steps; t++)
      expectClose(
        results.get(gradientOf(`word${t}`)),
        sliceStep(`${reads}.gradient.words`, t, 5),
        1e-7,
        `word ${t}`,
      )
  })

  it('gives the same logits one text at a time, from the table', () => {
    const weights = new Map(
      [...expected]
        .filter(([name]) => isWeight(name))
        .map(([name, { shape, data }]) => [
          name,
          f32(shape, Float32Array.from(data as Float64Array)),
        ]),
    )
    // Each word is a row of the table by itself.
    weights.set('table', f32([12, 5], Float32Array.from(numbersOf('words'))))
    const kept = numbersOf('kept')
    for (const [n, length] of numbersOf('lengths').entries()) {
      const words = Array.from({ length }, (_, t) => Int32Array.of(n * steps + t))
      const { read, logits } = runPolicy(shapeOf(reads), weights, words)
      const run = createPolicyRunner(shapeOf(reads), weights)
      run(words)
      expect(run(words)).toMatchObject({ read, logits }) // whatever was read before
      // Dropout was part of PyTorch's run: apply it to what the heads read.
      const dropped = read.map((value, i) => value * kept[n * 6 + i]!)
      for (const head of headNames) {
        const weight = weights.get(`${head}.weight`)!
        const own = Array.from(weights.get(`${head}.bias`)!.data, (bias, k) =>
          dropped.reduce((sum, value, i) => sum + value * weight.data[k * 6 + i]!, bias),
        )
        const size = own.length
        const wanted = numbersOf(`${reads}.${head}`).slice(n * size, (n + 1) * size)
        own.forEach((value, k) => expect(value).toBeCloseTo(wanted[k]!, 5))
      }
    }
  })
})
