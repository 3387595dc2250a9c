// A policy on one text, in plain loops: FastGRNN (Kusupati et al. 2018, arXiv:1901.02358) over the
// words and the heads, with Router LoRA where it is given. Keeps the values for the backward pass.

import type { F32Tensor } from '../../base/tensor.ts'
import { headNames, type HeadName, type PolicyShape, type PolicyWeights } from './policy-weights.ts'
import { writeWordVector } from './word-vectors.ts'

/** The numbers of one step that gradients need. */
export interface PolicyStep {
  readonly before: Float64Array // h of the word before, [H]
  readonly gate: Float64Array // z
  readonly fresh: Float64Array // h̃
}

export interface PolicyPass {
  readonly steps: readonly PolicyStep[]
  /** What the heads would read without the LoRA of the hidden state, [H]. */
  readonly read: Float64Array
  /** What they do read. */
  readonly adapted: Float64Array
  readonly logits: ReadonlyMap<HeadName, Float64Array>
}

/** out += factor·W·x; W: [out, in]. */
export function addProduct(
  { data, shape: [rows, columns] }: F32Tensor,
  x: ArrayLike<number>,
  out: Float64Array,
  factor = 1,
): void {
  const whole = columns! - (columns! % 4)
  for (let i = 0, at = 0; i < rows!; i++) {
    // four sums, because each addition would wait for the one before it
    let a = 0
    let b = 0
    let c = 0
    let d = 0
    let j = 0
    for (; j < whole; j += 4, at += 4) {
      a += data[at]! * x[j]!
      b += data[at + 1]! * x[j + 1]!
      c += data[at + 2]! * x[j + 2]!
      d += data[at + 3]! * x[j + 3]!
    }
    for (; j < columns!; j++, at++) a += data[at]! * x[j]!
    out[i]! += factor * (a + b + (c + d))
  }
}

/** W·x */
export function computeProduct(weight: F32Tensor, x: ArrayLike<number>): Float64Array {
  const out = new Float64Array(weight.shape[0]!)
  addProduct(weight, x, out)
  return out
}

/** out += B·(A·x), where the adapter has the pair. */
export function addLowRank(
  lora: PolicyWeights | undefined,
  name: string,
  x: ArrayLike<number>,
  out: Float64Array,
): void {
  const A = lora?.get(`${name}.A`)
  if (A) addProduct(lora!.get(`${name}.B`)!, computeProduct(A, x), out)
}

export const computeSigmoid = (x: number): number => 1 / (1 + Math.exp(-x))

/** σ(ζ) and σ(ν) of σ(ζ)(1−z) + σ(ν). */
export const readMixing = (weights: PolicyWeights): readonly [number, number] => [
  computeSigmoid(weights.get('zeta')!.data[0]!),
  computeSigmoid(weights.get('nu')!.data[0]!),
]

/** FastGRNN over the words. The update gate's MicroLoRA adds B·A·h before the sigmoid. */
function runSteps(
  shape: PolicyShape,
  weights: PolicyWeights,
  words: readonly Int32Array[],
  lora: PolicyWeights | undefined,
): { steps: PolicyStep[]; state: Float64Array; total: Float64Array } {
  const { hidden } = shape
  const [zeta, nu] = readMixing(weights)
  const get = (name: string): F32Tensor => weights.get(name)!
  const vector = new Float64Array(shape.width)
  const steps: PolicyStep[] = []
  const total = new Float64Array(hidden)
  let state = new Float64Array(hidden)
  for (const word of words) {
    writeWordVector(get('table').data, word, vector)
    const sum = computeProduct(get('W1'), computeProduct(get('W2'), vector))
    if (steps.length > 0) addProduct(get('U1'), computeProduct(get('U2'), state), sum)
    const opening = sum.slice()
    if (steps.length > 0) addLowRank(lora, 'gate', state, opening)
    const gate = new Float64Array(hidden)
    const fresh = new Float64Array(hidden)
    const next = new Float64Array(hidden)
    for (let i = 0; i < hidden; i++) {
      const z = computeSigmoid(opening[i]! + get('gateBias').data[i]!)
      const c = Math.tanh(sum[i]! + get('stateBias').data[i]!)
      gate[i] = z
      fresh[i] = c
      next[i] = z * state[i]! + (zeta * (1 - z) + nu) * c
      total[i]! += next[i]!
    }
    steps.push({ before: state, gate, fresh })
    state = next
  }
  return { steps, state, total }
}

/**
 * Logits of every head, and the values for the backward pass. No words at all read a state of
 * zeros.
 */
export function runPolicy(
  shape: PolicyShape,
  weights: PolicyWeights,
  words: readonly Int32Array[],
  lora?: PolicyWeights,
): PolicyPass {
  const { steps, state, total } = runSteps(shape, weights, words, lora)
  const read = shape.reads === 'mean' ? total.map((sum) => sum / (steps.length || 1)) : state
  const adapted = read.slice()
  addLowRank(lora, 'hidden', read, adapted)
  return { steps, read, adapted, logits: readHeads(weights, adapted, lora) }
}

/** The logits of every head that the policy has. */
export function readHeads(
  weights: PolicyWeights,
  state: Float64Array,
  lora?: PolicyWeights,
): Map<HeadName, Float64Array> {
  const logits = new Map<HeadName, Float64Array>()
  for (const name of headNames) {
    const weight = weights.get(`${name}.weight`)
    if (!weight) continue
    const own = Float64Array.from(weights.get(`${name}.bias`)!.data)
    addProduct(weight, state, own)
    addLowRank(lora, name, state, own)
    logits.set(name, own)
  }
  return logits
}
