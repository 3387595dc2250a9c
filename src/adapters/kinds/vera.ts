// VeRA: one random pair of matrices for the whole model, and two learned vectors for each layer.
// Kopiczko et al. 2024, arXiv:2310.11454.
//
//     y = W·x + bias + b ⊙ (B·(d ⊙ (A·x)))     A: [R, widest in]   B: [widest out, R]   d: [R]   b: [out]
//
// A and B are never trained; a layer takes the first columns of A and the first rows of B. b starts
// at zero, so a fresh adapter changes nothing.

import { random } from '../../base/random.ts'
import { f32 } from '../../base/tensor.ts'
import type { ModuleInfo } from '../../graph/model-graph.ts'
import {
  flag,
  naturalNumber,
  number,
  oneOf,
  positiveInteger,
  share,
  readGivenOptions,
} from '../../base/schema.ts'
import type { AdapterConfig, AdapterKind, ModuleTensors, ParameterSpec } from './kind.ts'
import { addProduct } from './matrices.ts'
import { readPeftConfig } from './peft-config.ts'
import { fillConstant, drawNormal, drawUniform, fillZeros } from './initializers.ts'
import {
  readTargets,
  targetDefaults,
  targetKeys,
  targetOptions,
  writeTargets,
} from './target-config.ts'
import { isLinearTarget, createTargetMatcher } from '../targets.ts'

export interface VeraConfig extends AdapterConfig {
  readonly rank: number
  /** What d starts with. */
  readonly dInitial: number
  /** Adapters made with the same number have the same A and B, whatever their own seed. */
  readonly projectionSeed: number
  /** 'zero': b is zero. 'random': b is one, d normal. */
  readonly start: 'zero' | 'random'
}

const keyA = 'base_model.vera_A'
const keyB = 'base_model.vera_B'
const lambdaB = 'vera_lambda_b'
const lambdaD = 'vera_lambda_d'

// PEFT's VeRA leaves no modules out by name.
const { exclude: _exclude, ...targetChoice } = targetOptions
const { exclude_modules: _excludeModules, ...targetChoiceKeys } = targetKeys
const options = {
  ...targetChoice,
  rank: positiveInteger,
  dropout: share,
  dInitial: number(),
  projectionSeed: naturalNumber,
  start: oneOf(['zero', 'random']),
}
const peftKeys = {
  ...targetChoiceKeys,
  r: positiveInteger,
  vera_dropout: share,
  d_initial: number(),
  projection_prng_key: naturalNumber,
  save_projection: oneOf([true]), // without it, only torch's random generator could reproduce A and B
  bias: oneOf(['none']),
  init_weights: flag(),
}

/**
 * Kaiming-uniform for a matrix [.., fan-in]: ±√(6/fan-in). The values differ from PEFT's, so they
 * are saved in the file.
 */
function createProjectionSpec(
  name: string,
  shape: readonly [number, number],
  seed: number,
): ParameterSpec {
  const start: ParameterSpec['start'] = () =>
    drawUniform(shape, Math.sqrt(6 / shape[1]))(random(seed))
  return { name, shape, trainable: false, start }
}

/** A's columns and B's rows that a layer uses: [R, in] and [out, R]. */
function sliceProjections(
  config: VeraConfig,
  { module, tensor }: ModuleTensors,
): { A: Float32Array; B: Float32Array } {
  const { inFeatures, outFeatures } = module
  const all = tensor(keyA)
  const widest = all.length / config.rank
  const A = new Float32Array(config.rank * inFeatures)
  for (let row = 0; row < config.rank; row++)
    A.set(all.subarray(row * widest, row * widest + inFeatures), row * inFeatures)
  return { A, B: tensor(keyB).slice(0, outFeatures * config.rank) }
}

/** diag(b)·B·diag(d) */
function scaleB(config: VeraConfig, at: ModuleTensors, B: Float32Array): Float32Array {
  const b = at.tensor(lambdaB)
  const d = at.tensor(lambdaD)
  return B.map((value, i) => b[Math.floor(i / config.rank)]! * value * d[i % config.rank]!)
}

export const vera: AdapterKind<VeraConfig, typeof options> = {
  name: 'vera',
  peftType: 'VERA',
  effect: 'adds',
  mark: 'vera_',
  options,

  complete(given) {
    const read = readGivenOptions('VeRA options', given, options)
    return {
      ...targetDefaults,
      rank: 256,
      dInitial: 0.1,
      projectionSeed: 0,
      start: 'zero',
      ...read,
    }
  },

  readConfig(json, fileName) {
    const read = readPeftConfig(
      json,
      peftKeys,
      ['r', 'target_modules', 'save_projection'],
      fileName,
    )
    return {
      ...readTargets(read, json),
      dropout: read.vera_dropout ?? 0,
      rank: read.r!,
      dInitial: read.d_initial ?? 0.1,
      projectionSeed: read.projection_prng_key ?? 0,
      start: (read.init_weights ?? true) ? 'zero' : 'random',
    }
  },

  writeConfig(config) {
    const { exclude_modules: _none, ...targets } = writeTargets(config)
    return {
      task_type: 'CAUSAL_LM',
      fan_in_fan_out: false,
      ...config.peft,
      ...targets,
      r: config.rank,
      vera_dropout: config.dropout,
      d_initial: config.dInitial,
      projection_prng_key: config.projectionSeed,
      save_projection: true,
      bias: 'none',
      init_weights: config.start === 'zero',
    }
  },

  parameters(config, module) {
    if (!isLinearTarget(config, module, 'VeRA')) return []
    const shapeB = [module.outFeatures]
    const shapeD = [config.rank]
    const zero = config.start === 'zero'
    return [
      {
        name: lambdaB,
        shape: shapeB,
        trainable: true,
        start: zero ? fillZeros(shapeB) : fillConstant(shapeB, 1),
      },
      {
        name: lambdaD,
        shape: shapeD,
        trainable: true,
        start: zero ? fillConstant(shapeD, config.dInitial) : drawNormal(shapeD, 1),
      },
    ]
  },

  shared(config, modules) {
    const hit = modules.filter(createTargetMatcher(config))
    const widest = (width: (module: ModuleInfo) => number): number => Math.max(...hit.map(width))
    return [
      createProjectionSpec(
        keyA,
        [config.rank, widest(({ inFeatures }) => inFeatures)],
        config.projectionSeed,
      ),
      createProjectionSpec(
        keyB,
        [widest(({ outFeatures }) => outFeatures), config.rank],
        ~config.projectionSeed,
      ),
    ]
  },

  apply(g, layer, config) {
    const { inFeatures, outFeatures } = layer.module
    const A = g.slice(layer.parameter(keyA), 1, 0, inFeatures)
    const B = g.slice(layer.parameter(keyB), 0, 0, outFeatures)
    const x = config.dropout > 0 ? layer.dropout(layer.x) : layer.x
    const low = g.multiply(g.matmul(x, A, { transB: true }), layer.parameter(lambdaD)) // [.., R]
    return g.add(
      layer.base(),
      g.multiply(g.matmul(low, B, { transB: true }), layer.parameter(lambdaB)),
    ) // [.., out]
  },

  merge(config, at) {
    const { inFeatures, outFeatures } = at.module
    const { A, B } = sliceProjections(config, at)
    const weight = at.base('weight').slice()
    addProduct(weight, scaleB(config, at, B), A, [outFeatures, config.rank, inFeatures], 1)
    return { weight }
  },

  serve(config, at) {
    const { A, B } = sliceProjections(config, at)
    return {
      A: f32([config.rank, at.module.inFeatures], A),
      B: f32([at.module.outFeatures, config.rank], scaleB(config, at, B)),
    }
  },
}
