// LoHa: the change of a weight as the element-wise product of two low-rank matrices. Hyeon-Woo et
// al. 2022 (FedPara), arXiv:2108.06098.
//
//     ΔW = s·(w1_a·w1_b) ⊙ (w2_a·w2_b), s = alpha/R     w·_a: [out, R]   w·_b: [R, in]
//
// That is exactly a low-rank product of rank R²: A[(i, j), :] = w1_b[i] ⊙ w2_b[j], B[:, (i, j)] =
// w1_a[:, i] ⊙ w2_a[:, j].

import { f32 } from '../../base/tensor.ts'
import type { Value } from '../../graph/ir.ts'
import type { Operators } from '../../graph/operation.ts'
import { flag, oneOf, readGivenOptions } from '../../base/schema.ts'
import type { AdapterKind, AdaptedLayer } from './kind.ts'
import {
  completeLycoris,
  getLycorisInput,
  lycorisKeys,
  lycorisOptions,
  resolveLycorisRank,
  readLycoris,
  writeLycoris,
  type LycorisConfig,
} from './lycoris-config.ts'
import { addProduct } from './matrices.ts'
import { readPeftConfig } from './peft-config.ts'
import { drawKaiming, fillZeros } from './initializers.ts'
import { isLinearTarget } from '../targets.ts'

export interface LohaConfig extends LycorisConfig {
  /** 'zero': w2_b is zero. 'random': nothing is. */
  readonly start: 'zero' | 'random'
}

const names = ['hada_w1_a', 'hada_w1_b', 'hada_w2_a', 'hada_w2_b'] as const
const options = { ...lycorisOptions, start: oneOf(['zero', 'random']) }
const peftKeys = { ...lycorisKeys, init_weights: flag() }

function buildDelta(g: Operators, layer: AdaptedLayer, config: LohaConfig): Value {
  const { rank, scale } = resolveLycorisRank(config, layer.module)
  const { inFeatures, outFeatures } = layer.module
  const x = getLycorisInput(config, layer, 'LoHa')
  const [a1, b1, a2, b2] = names.map(layer.parameter) as [Value, Value, Value, Value]
  // Beyond this rank the full ΔW is smaller than its factors.
  if (rank * rank > Math.min(inFeatures, outFeatures))
    return g.matmul(x, g.multiply(g.matmul(a1, b1), g.matmul(a2, b2)), {
      transB: true,
      alpha: scale,
    })
  const A = g.multiply(g.reshape(b1, [rank, 1, inFeatures]), g.reshape(b2, [1, rank, inFeatures]))
  const B = g.multiply(g.reshape(a1, [outFeatures, rank, 1]), g.reshape(a2, [outFeatures, 1, rank]))
  const low = g.matmul(x, g.reshape(A, [rank * rank, inFeatures]), { transB: true }) // [.., R²]
  // [.., out]
  return g.matmul(low, g.reshape(B, [outFeatures, rank * rank]), { transB: true, alpha: scale })
}

export const loha: AdapterKind<LohaConfig, typeof options> = {
  name: 'loha',
  peftType: 'LOHA',
  effect: 'adds',
  mark: 'hada_',
  options,

  sizes(shapeOf) {
    const outFeatures = shapeOf('hada_w1_a')?.[0]
    const inFeatures = shapeOf('hada_w1_b')?.[1]
    return outFeatures === undefined || inFeatures === undefined
      ? undefined
      : { kind: 'linear', inFeatures, outFeatures }
  },

  complete(given) {
    const { start = 'zero', ...read } = readGivenOptions('LoHa options', given, options)
    return { ...completeLycoris(read), start }
  },

  readConfig(json, fileName) {
    const read = readPeftConfig(json, peftKeys, ['r', 'alpha', 'target_modules'], fileName)
    return { ...readLycoris(read, json), start: (read.init_weights ?? true) ? 'zero' : 'random' }
  },

  writeConfig: (config) => ({ ...writeLycoris(config), init_weights: config.start === 'zero' }),

  parameters(config, module) {
    if (!isLinearTarget(config, module, 'LoHa')) return []
    const { rank } = resolveLycorisRank(config, module)
    return names.map((name) => {
      const shape: [number, number] = name.endsWith('_a')
        ? [module.outFeatures, rank]
        : [rank, module.inFeatures]
      const zero = name === 'hada_w2_b' && config.start === 'zero'
      return { name, shape, trainable: true, start: zero ? fillZeros(shape) : drawKaiming(shape) }
    })
  },

  apply: (g, layer, config) => g.add(layer.base(), buildDelta(g, layer, config)),

  merge(config, { module, base, tensor }) {
    const { rank, scale } = resolveLycorisRank(config, module)
    const { inFeatures, outFeatures } = module
    const product = (a: string, b: string): Float32Array => {
      const result = new Float32Array(outFeatures * inFeatures)
      addProduct(result, tensor(a), tensor(b), [outFeatures, rank, inFeatures], 1)
      return result
    }
    const one = product('hada_w1_a', 'hada_w1_b')
    const two = product('hada_w2_a', 'hada_w2_b')
    return { weight: base('weight').map((value, i) => value + scale * one[i]! * two[i]!) }
  },

  serve(config, { module, tensor }) {
    const { rank, scale } = resolveLycorisRank(config, module)
    const { inFeatures, outFeatures } = module
    const [a1, b1, a2, b2] = names.map(tensor) as [
      Float32Array,
      Float32Array,
      Float32Array,
      Float32Array,
    ]
    const A = f32([rank * rank, inFeatures])
    const B = f32([outFeatures, rank * rank])
    for (let i = 0; i < rank; i++) {
      for (let j = 0; j < rank; j++) {
        const at = i * rank + j
        for (let c = 0; c < inFeatures; c++)
          A.data[at * inFeatures + c] = b1[i * inFeatures + c]! * b2[j * inFeatures + c]!
        for (let o = 0; o < outFeatures; o++)
          B.data[o * rank * rank + at] = scale * a1[o * rank + i]! * a2[o * rank + j]!
      }
    }
    return { A, B }
  },
}
