// Arrow's coefficients: the relevance of each expert to each token at a layer, computed as in PEFT,
// and their mean over tokens and layers as scores of a request.

/** Unit vectors of a layer, one for each expert, [E, D]. */
export interface LayerPrototypes {
  readonly experts: number
  readonly width: number
  readonly data: Float32Array
}

export interface ArrowSettings {
  /** Experts that share a token. */
  readonly topK: number
  readonly temperature: number
}

/**
 * For each token t the softmax of |x_t·v_e| / temperature over its largest `topK`, 0 for the
 * others: states [T, D] → [T, E]. The absolute value is taken because the sign of a singular vector
 * is arbitrary.
 */
export function computeCoefficients(
  states: Float32Array,
  { experts, width, data }: LayerPrototypes,
  { topK, temperature }: ArrowSettings,
): Float32Array {
  const tokens = states.length / width
  const coefficients = new Float32Array(tokens * experts)
  const values = new Float64Array(experts)
  for (let t = 0; t < tokens; t++) {
    for (let e = 0; e < experts; e++) {
      let sum = 0
      for (let i = 0; i < width; i++) sum += states[t * width + i]! * data[e * width + i]!
      values[e] = Math.abs(sum)
    }
    writeTopShares(values, topK, temperature, coefficients.subarray(t * experts, (t + 1) * experts))
  }
  return coefficients
}

function writeTopShares(
  values: Float64Array,
  topK: number,
  temperature: number,
  out: Float32Array,
): void {
  const order = Array.from(values.keys()).sort((a, b) => values[b]! - values[a]! || a - b)
  const top = order.slice(0, topK)
  const most = values[top[0]!]!
  let total = 0
  for (const e of top) {
    out[e] = Math.exp((values[e]! - most) / temperature)
    total += out[e]!
  }
  for (const e of top) out[e]! /= total
}

/** The mean over all tokens of all layers, [E]; they sum to 1. */
export function averageCoefficients(layers: Iterable<Float32Array>, experts: number): Float64Array {
  const mean = new Float64Array(experts)
  let tokens = 0
  for (const coefficients of layers) {
    for (let i = 0; i < coefficients.length; i++) mean[i % experts]! += coefficients[i]!
    tokens += coefficients.length / experts
  }
  return mean.map((sum) => sum / Math.max(1, tokens))
}
