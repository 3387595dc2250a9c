// Mixes the memory's distribution with the model's (kNN-LM): the interpolation weight λ and the
// inverse temperature θ are learned online for each user, from start values that suited three kinds
// of text. Independent of hidden states.

import type { Retrieval } from './retrieval.ts'

/**
 * λ = least + (most − least)·σ(w·f), f = [1, ln(1 − nearest), logit(cache's first share),
 * logit(model's largest share)]; θ = e^w₄ times the memory's initial θ.
 */
export interface GateState {
  readonly weights: Float64Array // [5]
  readonly squares: Float64Array // [5], running mean squares of the gradient
  updates: number
}

// Between what was fitted on JSON, Cypher and Shakespeare (docs/learn-results.md); 60 turns in, any
// start gives the same loss.
const start = [-5.5, -1.6, 0.5, -0.3, 0] as const
const least = 0.005
const most = 0.98 // a token that the memory lacks keeps at least 2 % of the model's share
const rate = 0.05
const keep = 0.99

export const createGate = (): GateState => ({
  weights: Float64Array.from(start),
  squares: new Float64Array(start.length),
  updates: 0,
})

const maxLogSharpness = 1.5 // at most e^1.5 = 4.5 times the memory's initial θ, or 1/4.5 of it

/** θ as the gate has learned it; `own`: the memory's initial θ. */
export const computeSharpness = ({ weights }: GateState, own: number): number =>
  own * Math.exp(Math.max(-maxLogSharpness, Math.min(maxLogSharpness, weights[4]!)))

const sigmoid = (x: number): number => 1 / (1 + Math.exp(-x))
const toLogOdds = (share: number): number => {
  const held = Math.min(0.999, Math.max(0.001, share))
  return Math.log(held / (1 - held))
}

const computeFeatures = ({ nearest, shares }: Retrieval, largest: number): readonly number[] => [
  1,
  // states of one model are never less similar than 0.3
  Math.log(1.0001 - Math.min(1, Math.max(0.3, nearest))),
  toLogOdds(shares[0]!),
  toLogOdds(largest),
]

const computeGateValue = ({ weights }: GateState, features: readonly number[]): number =>
  sigmoid(features.reduce((sum, feature, i) => sum + feature * weights[i]!, 0))

/** λ for one position; `largest`: the model's largest probability there. */
export const computeInterpolationWeight = (
  gate: GateState,
  retrieval: Retrieval,
  largest: number,
): number => least + (most - least) * computeGateValue(gate, computeFeatures(retrieval, largest))

/** One position with its target token, as the gate learns from it. */
export interface GateExample {
  readonly retrieval: Retrieval
  /** The model's largest probability, and that of the target token. */
  readonly largest: number
  readonly model: number
  readonly token: number
  /** The memory's share of the target token. */
  readonly cache: number
  readonly weight: number
}

/** The memory's share of a token. */
export function computeTokenShare({ tokens, shares }: Retrieval, token: number): number {
  const at = tokens.indexOf(token)
  return at === -1 ? 0 : shares[at]!
}

/**
 * ∂(share of the token)/∂ln θ = Σ_{its entries} p·ln p − share·Σ p·ln p over the entries' shares
 * p ∝ exp(θ·h·hᵢ).
 */
function computeSharpnessSlope({ tokens, shares, logs }: Retrieval, token: number): number {
  const whole = logs.reduce((sum, log) => sum + log, 0)
  const at = tokens.indexOf(token)
  return at === -1 ? 0 : logs[at]! - shares[at]! * whole
}

/**
 * One step on the mean of −log((1 − λ)·model + λ·cache) over a turn: RMSprop with a floor, so that
 * quiet features do not jump.
 */
export function learnGate(gate: GateState, examples: readonly GateExample[]): void {
  const total = examples.reduce((sum, { weight }) => sum + weight, 0)
  if (!(total > 0)) return
  const gradient = new Float64Array(start.length)
  for (const { retrieval, largest, model, cache, weight, token } of examples) {
    const features = computeFeatures(retrieval, largest)
    const open = computeGateValue(gate, features)
    const share = least + (most - least) * open
    const both = Math.max(1e-9, (1 - share) * model + share * cache)
    const slope = ((model - cache) / both) * (most - least) * open * (1 - open)
    features.forEach((feature, i) => (gradient[i]! += (weight / total) * slope * feature))
    gradient[4]! -= (weight / total) * (share / both) * computeSharpnessSlope(retrieval, token)
  }
  gate.updates++
  gradient.forEach((g, i) => {
    gate.squares[i] = keep * gate.squares[i]! + (1 - keep) * g * g
    gate.weights[i]! -=
      (rate * g) / Math.max(1e-4, Math.sqrt(gate.squares[i]! / (1 - keep ** gate.updates)))
  })
}

/**
 * log((1 − λ)·softmax(logits) + λ·cache), [V]: logits of the mixed distribution, for any sampler.
 * `total`: log Σ exp(logits).
 */
export function interpolateLogits(
  logits: Float32Array,
  total: number,
  retrieval: Retrieval,
  share: number,
): Float32Array {
  const shift = Math.log1p(-share) - total
  const result = logits.map((value) => value + shift)
  retrieval.tokens.forEach(
    (token, i) =>
      (result[token] = Math.log(Math.exp(result[token]!) + share * retrieval.shares[i]!)),
  )
  return result
}
