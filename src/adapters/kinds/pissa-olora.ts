// LoRA that starts from the base's own weight: PiSSA (Meng et al. 2024, arXiv:2404.02948) from its
// largest singular directions, OLoRA (Büyükakyüz 2024, arXiv:2406.01775) from its QR factors.
//
//     y = W·x + bias + s·(B·A − B₀·A₀)·x     A₀, B₀: A and B as they started, never trained
//
// Both papers take s·B₀·A₀ out of the weight; here the weight stays and the initial low-rank
// product is subtracted, so a fresh adapter changes nothing. Saved, it is a plain LoRA of twice the
// rank: A stacked on A₀, and B next to −B₀.

import { OptionError, UnsupportedError } from '../../base/errors.ts'
import { truncateDense } from '../../base/linalg/low-rank.ts'
import { multiply } from '../../base/linalg/matmul.ts'
import { sliceColumns, createMatrix, transpose } from '../../base/linalg/matrix.ts'
import { qr } from '../../base/linalg/qr.ts'
import { f32, type Tensor } from '../../base/tensor.ts'
import { toFloat32 } from '../../formats/convert.ts'
import type { ModuleInfo } from '../../graph/model-graph.ts'
import { withoutOptions } from '../../base/schema.ts'
import type {
  AdapterKind,
  BaseReader,
  ModuleTensors,
  ParameterSpec,
  ServingWeights,
} from './kind.ts'
import { lora, loraParts, resolveRankAndScale } from './lora.ts'
import {
  completeLora,
  loraOptions,
  checkPlainStart,
  writeLoraConfig,
  type LoraConfig,
} from './lora-config.ts'
import { addProduct } from './matrices.ts'
import { isLinearTarget } from '../targets.ts'

const initial = { a: 'lora_A.initial', b: 'lora_B.initial' } as const

/** Factors of the weight [out, in]: b [out, R], a [R, in]. */
interface Factors {
  readonly a: Float32Array
  readonly b: Float32Array
}
type Factorise = (weight: Float32Array, module: ModuleInfo, rank: number, scale: number) => Factors

/** Both factors contain √σ; s·b·a is the best approximation of this rank. */
const factorizeBySvd: Factorise = (weight, { outFeatures, inFeatures }, rank, scale) => {
  const { a, b } = truncateDense(createMatrix(outFeatures, inFeatures, weight), { rank, seed: 0 })
  const part = (values: Float32Array): Float32Array =>
    values.map((value) => value / Math.sqrt(scale))
  if (b.columns === rank) return { a: part(a.data), b: part(b.data) }
  throw new UnsupportedError(
    `PiSSA: a weight of ${outFeatures} × ${inFeatures} has rank ${b.columns}, below the ${rank} asked for.`,
  )
}

/** The first R columns of Q and rows of R. */
const factorizeByQr: Factorise = (weight, { outFeatures, inFeatures }, rank) => {
  const m = createMatrix(outFeatures, inFeatures, weight)
  const { q } = qr(sliceColumns(m, 0, rank)) // the first columns of Q come from those of W alone
  const a = createMatrix(rank, inFeatures, new Float32Array(rank * inFeatures))
  multiply(a, transpose(q), m)
  return { a: a.data, b: Float32Array.from(q.data) }
}

const reads = ['weight'] as const

/** LoRA's tensors, initialised from the base, and the same initial values once more, frozen. */
function listSpecs(
  factorise: Factorise,
  config: LoraConfig,
  module: ModuleInfo,
): readonly ParameterSpec[] {
  const specs = lora.parameters(config, module)
  if (!isLinearTarget(config, module, 'PiSSA or OLoRA')) return specs
  const { rank, scale } = resolveRankAndScale(config, module)
  let made: Factors | undefined // the four tensors of a module share one factorisation
  const start =
    (part: keyof Factors) =>
    (_random: unknown, base: BaseReader): Float32Array =>
      (made ??= factorise(base('weight'), module, rank, scale))[part].slice()
  const started = specs.map((spec) => {
    const part = spec.name === loraParts.a ? 'a' : spec.name === loraParts.b ? 'b' : undefined
    return part ? { ...spec, reads, start: start(part) } : spec
  })
  const frozen = (part: keyof Factors, shape: readonly number[]): ParameterSpec => ({
    name: initial[part],
    shape,
    trainable: false,
    reads,
    start: start(part),
  })
  return [
    ...started,
    frozen('a', [rank, module.inFeatures]),
    frozen('b', [module.outFeatures, rank]),
  ]
}

/** [A; A₀] and [B, −B₀] side by side. */
function joinFactors(
  rank: number,
  [a, b]: readonly [Float32Array, Float32Array],
  [a0, b0]: readonly [Float32Array, Float32Array],
) {
  const A = new Float32Array(2 * a.length)
  A.set(a)
  A.set(a0, a.length)
  const B = new Float32Array(2 * b.length)
  for (let o = 0; o < b.length / rank; o++) {
    for (let r = 0; r < rank; r++) {
      B[o * 2 * rank + r] = b[o * rank + r]!
      B[o * 2 * rank + rank + r] = -b0[o * rank + r]!
    }
  }
  return { A, B }
}

/** Doubled ranks, and alphas that keep s unchanged. */
function doubleRanks(config: LoraConfig): LoraConfig {
  const factor = config.rankStabilized ? Math.SQRT2 : 2
  const times = (values: Readonly<Record<string, number>>, by: number): Record<string, number> =>
    Object.fromEntries(Object.entries(values).map(([pattern, value]) => [pattern, by * value]))
  return {
    ...config,
    rank: 2 * config.rank,
    alpha: factor * config.alpha,
    rankPattern: times(config.rankPattern, 2),
    alphaPattern: times(config.alphaPattern, factor),
  }
}

function asLora(config: LoraConfig, tensors: ReadonlyMap<string, Tensor>) {
  const plain = new Map<string, Tensor>()
  for (const [key, tensor] of tensors) {
    if (key.endsWith(initial.a) || key.endsWith(initial.b) || key.endsWith(loraParts.b)) continue
    if (!key.endsWith(loraParts.a)) {
      plain.set(key, tensor)
      continue
    }
    const path = key.slice(0, -loraParts.a.length)
    const values = (name: string): Float32Array => toFloat32(tensors.get(path + name)!)
    const [rank, inFeatures] = tensor.shape as [number, number]
    const { A, B } = joinFactors(
      rank,
      [values(loraParts.a), values(loraParts.b)],
      [values(initial.a), values(initial.b)],
    )
    plain
      .set(key, f32([2 * rank, inFeatures], A))
      .set(path + loraParts.b, f32([B.length / (2 * rank), 2 * rank], B))
  }
  return { kind: 'lora', config: doubleRanks(config), tensors: plain }
}

/** [A; A₀] and s·[B, −B₀]. */
function serveDifference(config: LoraConfig, at: ModuleTensors): ServingWeights | undefined {
  const trained = lora.serve!(config, at)
  if (!trained) return undefined
  const { rank, scale } = resolveRankAndScale(config, at.module)
  const frozen = [at.tensor(initial.a), at.tensor(initial.b).map((value) => scale * value)] as const
  const { A, B } = joinFactors(rank, [trained.A.data, trained.B.data], frozen)
  return {
    ...trained,
    A: f32([2 * rank, at.module.inFeatures], A),
    B: f32([at.module.outFeatures, 2 * rank], B),
  }
}

const options = withoutOptions(loraOptions, 'start', 'invocationTokens')

const createKind = (
  name: string,
  factorise: Factorise,
): AdapterKind<LoraConfig, typeof options> => ({
  name,
  peftType: 'LORA',
  effect: 'adds',
  mark: 'lora_',
  options,
  claims: () => false, // its files are LoRA's
  complete(given) {
    const config = completeLora(given, `${name} options`)
    if ('start' in given)
      throw new OptionError(`${name} options: start: the kind is the start; leave it out.`)
    return checkPlainStart(config, name)
  },
  readConfig: lora.readConfig,
  writeConfig: writeLoraConfig,
  savedAs: asLora,

  parameters: (config, module) => listSpecs(factorise, config, module),

  apply(g, layer, config) {
    const y = lora.apply(g, layer, config)
    if (!isLinearTarget(config, layer.module, name)) return y
    const A = layer.parameter(initial.a)
    const B = layer.parameter(initial.b)
    const { scale } = resolveRankAndScale(config, layer.module)
    return g.subtract(
      y,
      g.matmul(g.matmul(layer.x, A, { transB: true }), B, { transB: true, alpha: scale }),
    )
  },

  merge(config, at) {
    const merged = lora.merge!(config, at)
    if (!isLinearTarget(config, at.module, name)) return merged
    const { rank, scale } = resolveRankAndScale(config, at.module)
    const { outFeatures, inFeatures } = at.module
    addProduct(
      merged.weight,
      at.tensor(initial.b),
      at.tensor(initial.a),
      [outFeatures, rank, inFeatures],
      -scale,
    )
    return merged
  },

  serve: serveDifference,
})

export const pissa = createKind('pissa', factorizeBySvd)
export const olora = createKind('olora', factorizeByQr)
