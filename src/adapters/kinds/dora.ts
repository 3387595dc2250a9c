// DoRA: LoRA with a learned magnitude for every row of the weight. Liu et al. 2024,
// arXiv:2402.09353.
//
//     n = ‖W + s·B·A‖₂ by row, a constant for the gradient     y = (m/n) ⊙ (W·x + s·B·(A·x)) + bias     m: [out]
//
// m starts at n, so a fresh adapter changes nothing. In serving, m/n is a vector that is computed
// once: one element-wise product more than LoRA.

import { OptionError, UnsupportedError } from '../../base/errors.ts'
import { f32 } from '../../base/tensor.ts'
import type { Value } from '../../graph/ir.ts'
import type { ModuleInfo } from '../../graph/model-graph.ts'
import type { Operators } from '../../graph/operation.ts'
import { withoutOptions } from '../../base/schema.ts'
import type { AdapterKind, ModuleTensors, ParameterSpec, PeftJson, AdaptedLayer } from './kind.ts'
import { listBiasSpecs, lora, loraParts, inferLoraSizes, resolveRankAndScale } from './lora.ts'
import {
  completeLora,
  loraOptions,
  readLoraConfig,
  checkPlainStart,
  writeLoraConfig,
  type LoraConfig,
} from './lora-config.ts'
import { addProduct, computeRowNorms, scaleRows } from './matrices.ts'
import { isLinearTarget } from '../targets.ts'

const magnitudeName = 'lora_magnitude_vector'

const createMagnitudeSpec = ({ outFeatures, inFeatures }: ModuleInfo): ParameterSpec => ({
  name: magnitudeName,
  shape: [outFeatures],
  trainable: true,
  reads: ['weight'],
  start: (_random, base) => computeRowNorms(base('weight'), outFeatures, inFeatures),
})

/**
 * ‖W + s·B·A‖ by row, without computing that matrix: its square is ‖W‖² + 2s·Σ_r B ⊙ (W·Aᵀ) +
 * s²·Σ_r B ⊙ (B·(A·Aᵀ)), each [out].
 */
function buildNorm(g: Operators, weight: Value, A: Value, B: Value, scale: number): Value {
  const bySum = (x: Value, y: Value): Value => g.reduceSum(g.multiply(x, y), [1]) // [out]
  // W·Aᵀ: [out, R]
  const crossed = bySum(B, g.matmul(weight, A, { transB: true, alpha: 2 * scale }))
  // A·Aᵀ: [R, R]
  const gramSum = bySum(B, g.matmul(B, g.matmul(A, A, { transB: true }), { alpha: scale * scale }))
  return g.op('squareRoot', [g.add(bySum(weight, weight), g.add(crossed, gramSum))])
}

/** W + s·B·A as a new array, and m/n. */
function computeDirection(
  config: LoraConfig,
  { module, base, tensor }: ModuleTensors,
): { weight: Float32Array; ratio: Float32Array } {
  const { inFeatures, outFeatures } = module
  const { rank, scale } = resolveRankAndScale(config, module)
  const weight = base('weight').slice()
  addProduct(
    weight,
    tensor(loraParts.b),
    tensor(loraParts.a),
    [outFeatures, rank, inFeatures],
    scale,
  )
  const norms = computeRowNorms(weight, outFeatures, inFeatures)
  return { weight, ratio: tensor(magnitudeName).map((length, i) => length / norms[i]!) }
}

function applyDora(g: Operators, layer: AdaptedLayer, config: LoraConfig): Value {
  const { module, weight, x } = layer
  if (!weight)
    throw new UnsupportedError(
      `${module.path}: DoRA needs the base's weight in its graph; attach it before packing the base.`,
    )
  const { scale } = resolveRankAndScale(config, module)
  const A = layer.parameter(loraParts.a)
  const B = layer.parameter(loraParts.b)
  const [own] = listBiasSpecs(config, module, true)
  const bias = own ? layer.parameter(own.name) : layer.bias
  const dropped = config.dropout > 0 ? layer.dropout(x) : x
  const y = layer.base(own && bias ? { bias } : {})
  const withoutBias = (output: Value): Value => (bias ? g.subtract(output, bias) : output)
  const direct = withoutBias(
    dropped === x ? y : layer.base({ x: dropped, ...(own && bias ? { bias } : {}) }),
  )
  const delta = g.matmul(g.matmul(dropped, A, { transB: true }), B, { transB: true, alpha: scale })
  const ratio = g.divide(
    layer.parameter(magnitudeName),
    g.op('stopGradient', [buildNorm(g, weight, A, B, scale)]),
  ) // [out]
  const scaled = g.multiply(g.add(direct, delta), ratio)
  if (dropped !== x) return g.add(y, g.subtract(scaled, direct)) // dropout affects the branch only
  return bias ? g.add(scaled, bias) : scaled
}

const options = withoutOptions(loraOptions, 'loraBias', 'invocationTokens')

export const dora: AdapterKind<LoraConfig, typeof options> = {
  name: 'dora',
  peftType: 'LORA',
  effect: 'renormalizes',
  mark: 'lora_',
  options,
  claims: (json) => json['use_dora'] === true,
  sizes: inferLoraSizes,

  complete(given) {
    const config = checkPlainStart(completeLora(given, 'DoRA options'), 'DoRA')
    if (config.loraBias)
      throw new OptionError('DoRA options: loraBias cannot be combined with DoRA; leave it out.')
    return config
  },

  readConfig(json, fileName) {
    const { use_dora: _dora, ...others } = json
    const config = readLoraConfig(others, fileName)
    if (config.start === 'mica')
      throw new UnsupportedError(
        `${fileName}: init_lora_weights: "mica" is not supported with use_dora; only a plain LoRA starts so.`,
      )
    const clashes = [
      ...(config.loraBias ? ['lora_bias: true'] : []),
      ...(config.invocationTokens ? ['alora_invocation_tokens'] : []),
    ]
    if (clashes.length > 0)
      throw new UnsupportedError(
        `${fileName}: contains settings that are not supported:\n  ${clashes.join(' and ')} together with use_dora`,
      )
    return { ...config, peft: json }
  },

  writeConfig: (config): PeftJson => ({ ...writeLoraConfig(config), use_dora: true }),

  parameters(config, module) {
    const own = lora.parameters(config, module)
    return isLinearTarget(config, module, 'DoRA') ? [...own, createMagnitudeSpec(module)] : own
  },

  apply: (g, layer, config) =>
    isLinearTarget(config, layer.module, 'DoRA')
      ? applyDora(g, layer, config)
      : lora.apply(g, layer, config),

  merge(config, at) {
    if (!isLinearTarget(config, at.module, 'DoRA')) return lora.merge!(config, at)
    const { weight, ratio } = computeDirection(config, at)
    scaleRows(weight, ratio)
    const [own] = listBiasSpecs(config, at.module, true)
    return own ? { weight, bias: at.tensor(own.name).slice() } : { weight }
  },

  servesFromBase: true,
  serve(config, at) {
    const form = lora.serve!(config, at)
    if (!form) return undefined
    const { ratio } = computeDirection(config, at)
    const v = f32([ratio.length], ratio)
    if (!at.module.bias) return { ...form, v }
    return {
      ...form,
      v,
      shift: f32(
        [ratio.length],
        at.base('bias').map((value, i) => (1 - ratio[i]!) * value),
      ),
    }
  },
}
