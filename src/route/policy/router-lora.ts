// Router LoRA: low-rank changes of a policy that feedback makes while it runs. Rank 8 on the hidden
// state that the heads read, rank 2 on the update gate, rank 4 on each head; the policy's own
// weights are frozen. B starts at 0, so an unused adapter changes nothing.

import type { Random } from '../../base/random.ts'
import { f32, type F32Tensor } from '../../base/tensor.ts'
import { listHeads, type HeadName, type PolicyShape, type PolicyWeights } from './policy-weights.ts'
import { computeProduct, readMixing, type PolicyPass, type PolicyStep } from './run-policy.ts'

export const loraRanks = { hidden: 8, gate: 2, head: 4 } as const

/** Shapes by name: `gate.A`, `gate.B`, `hidden.A`, … */
export function listLoraShapes(shape: PolicyShape): ReadonlyMap<string, readonly number[]> {
  const { hidden } = shape
  const parts: [string, number, number][] = [
    ['gate', loraRanks.gate, hidden],
    ['hidden', loraRanks.hidden, hidden],
    ...listHeads(shape).map(([name, size]): [string, number, number] => [
      name,
      loraRanks.head,
      size,
    ]),
  ]
  return new Map(
    parts.flatMap(([name, rank, out]): [string, readonly number[]][] => [
      [`${name}.A`, [rank, hidden]],
      [`${name}.B`, [out, rank]],
    ]),
  )
}

export function initializeLora(shape: PolicyShape, random: Random): Map<string, F32Tensor> {
  const lora = new Map<string, F32Tensor>()
  for (const [name, dims] of listLoraShapes(shape)) {
    const tensor = f32(dims)
    if (name.endsWith('.A'))
      for (let i = 0; i < tensor.data.length; i++)
        tensor.data[i] = random.normal() / Math.sqrt(dims[1]!)
    lora.set(name, tensor)
  }
  return lora
}

/** Gradients by name, in double precision. */
export type LoraGradients = Map<string, Float64Array>

export const createLoraGradients = (lora: PolicyWeights): LoraGradients =>
  new Map([...lora].map(([name, { data }]) => [name, new Float64Array(data.length)]))

/** out += Wᵀ·y; W: [out, in]. */
function addTransposed(
  { data, shape: [rows, columns] }: F32Tensor,
  y: ArrayLike<number>,
  out: Float64Array,
): void {
  for (let i = 0, at = 0; i < rows!; i++) {
    const factor = y[i]!
    for (let j = 0; j < columns!; j++, at++) out[j]! += factor * data[at]!
  }
}

/** out += y ⊗ x */
function addOuter(y: ArrayLike<number>, x: ArrayLike<number>, out: Float64Array): void {
  for (let i = 0, at = 0; i < y.length; i++)
    for (let j = 0; j < x.length; j++, at++) out[at]! += y[i]! * x[j]!
}

interface Backward {
  readonly lora: PolicyWeights
  readonly gradients: LoraGradients
}

/**
 * The backward pass through y += B·A·x: gradients of both, and the gradient of x added to `out`.
 */
function addPairGradients(
  { lora, gradients }: Backward,
  name: string,
  x: Float64Array,
  upstream: Float64Array,
  out: Float64Array,
): void {
  const A = lora.get(`${name}.A`)!
  const B = lora.get(`${name}.B`)!
  const reached = new Float64Array(A.shape[0]!)
  addTransposed(B, upstream, reached)
  addOuter(upstream, computeProduct(A, x), gradients.get(`${name}.B`)!)
  addOuter(reached, x, gradients.get(`${name}.A`)!)
  addTransposed(A, reached, out)
}

/** Adds the gradients of Router LoRA's matrices, given those of the logits by head. */
export function addLoraGradients(
  shape: PolicyShape,
  weights: PolicyWeights,
  lora: PolicyWeights,
  pass: PolicyPass,
  upstream: ReadonlyMap<HeadName, Float64Array>,
  gradients: LoraGradients,
): void {
  const way = { lora, gradients }
  const adapted = new Float64Array(shape.hidden)
  for (const [head, errors] of upstream) {
    addTransposed(weights.get(`${head}.weight`)!, errors, adapted)
    addPairGradients(way, head, pass.adapted, errors, adapted)
  }
  const read = adapted.slice()
  addPairGradients(way, 'hidden', pass.read, adapted, read)
  const each = shape.reads === 'mean' ? read.map((value) => value / pass.steps.length) : undefined
  let state: Float64Array = each ? new Float64Array(shape.hidden) : read
  for (const step of pass.steps.toReversed()) {
    if (each) for (let i = 0; i < state.length; i++) state[i]! += each[i]!
    state = addStepGradients(way, weights, step, state, step !== pass.steps[0])
  }
}

/** The gradient of the state before a word, from that of the state after it. */
function addStepGradients(
  way: Backward,
  weights: PolicyWeights,
  { before, gate, fresh }: PolicyStep,
  after: Float64Array,
  hasState: boolean,
): Float64Array {
  const [zeta, nu] = readMixing(weights)
  const earlier = new Float64Array(after.length)
  const opening = new Float64Array(after.length) // before the sigmoid
  const sum = new Float64Array(after.length) // of Wx + Uh
  for (let i = 0; i < after.length; i++) {
    const z = gate[i]!
    const c = fresh[i]!
    opening[i] = after[i]! * (before[i]! - zeta * c) * z * (1 - z)
    sum[i] = opening[i]! + after[i]! * (zeta * (1 - z) + nu) * (1 - c * c)
    earlier[i] = after[i]! * z
  }
  if (!hasState) return earlier
  const reached = new Float64Array(weights.get('U1')!.shape[1]!)
  addTransposed(weights.get('U1')!, sum, reached)
  addTransposed(weights.get('U2')!, reached, earlier)
  addPairGradients(way, 'gate', before, opening, earlier)
  return earlier
}
