// Runs a policy for inference only. Results are those of runPolicy; the arrays are reused for each
// text, because garbage collection would take longer than the arithmetic.

import type { F32Tensor } from '../../base/tensor.ts'
import type { PolicyShape, PolicyWeights } from './policy-weights.ts'
import { addProduct, computeSigmoid, type PolicyPass, readHeads, readMixing } from './run-policy.ts'
import { writeWordVector } from './word-vectors.ts'

/** What the heads give; the arrays are the caller's. */
export type PolicyReading = Omit<PolicyPass, 'steps'>

/** Reads one text at a time. */
export function createPolicyRunner(
  { width, hidden, inputRank, stateRank, reads }: PolicyShape,
  weights: PolicyWeights,
): (words: readonly Int32Array[]) => PolicyReading {
  const get = (name: string): F32Tensor => weights.get(name)!
  const [table, gateBias, stateBias] = ['table', 'gateBias', 'stateBias'].map(
    (name) => get(name).data,
  ) as [Float32Array, Float32Array, Float32Array]
  const [W1, W2, U1, U2] = ['W1', 'W2', 'U1', 'U2'].map(get) as [
    F32Tensor,
    F32Tensor,
    F32Tensor,
    F32Tensor,
  ]
  const [zeta, nu] = readMixing(weights)
  const vector = new Float64Array(width)
  const fromWord = new Float64Array(inputRank)
  const fromState = new Float64Array(stateRank)
  const sum = new Float64Array(hidden)
  const state = new Float64Array(hidden)
  const total = new Float64Array(hidden)
  const addState = (): void => {
    addProduct(U2, state, fromState.fill(0))
    addProduct(U1, fromState, sum)
  }
  return (words) => {
    state.fill(0)
    total.fill(0)
    words.forEach((word, t) => {
      writeWordVector(table, word, vector)
      addProduct(W2, vector, fromWord.fill(0))
      addProduct(W1, fromWord, sum.fill(0))
      if (t > 0) addState()
      for (let i = 0; i < hidden; i++) {
        const z = computeSigmoid(sum[i]! + gateBias[i]!)
        const fresh = Math.tanh(sum[i]! + stateBias[i]!)
        state[i] = z * state[i]! + (zeta * (1 - z) + nu) * fresh
        total[i]! += state[i]!
      }
    })
    const read =
      reads === 'mean' ? total.map((value) => value / (words.length || 1)) : state.slice()
    return { read, adapted: read, logits: readHeads(weights, read) }
  }
}
