// LoRA: a linear layer plus a rank-R branch. Hu et al. 2021, arXiv:2106.09685.
//
//     y = W·x + bias + s·B·(A·x)     A: [R, in]   B: [out, R]   s = alpha/R, or alpha/√R (rsLoRA)
//
// With invocation tokens (aLoRA) the branch acts only from their last occurrence in a row on; see
// activation.ts. On an embedding, with a table of V rows: y = E[ids] + s·B·Aᵀ[ids], A: [R, V], B:
// [D, R]. B starts at zero, so a fresh adapter changes nothing.

import { UnsupportedError } from '../../base/errors.ts'
import { f32 } from '../../base/tensor.ts'
import type { Value } from '../../graph/ir.ts'
import type { ModuleInfo } from '../../graph/model-graph.ts'
import { createActivatedMergeError } from '../activation.ts'
import type { AdapterKind, ModuleSizes, ModuleTensors, ParameterSpec } from './kind.ts'
import {
  completeLora,
  loraOptions,
  readLoraConfig,
  writeLoraConfig,
  type LoraConfig,
} from './lora-config.ts'
import { addProduct, scaleValues, transposeValues } from './matrices.ts'
import { drawNormal, drawUniform, fillZeros } from './initializers.ts'
import { listMinorSpecs } from './minor-start.ts'
import { headPath } from '../keys.ts'
import { isLinearTarget, resolvePatternValue, createTargetMatcher } from '../targets.ts'

/** The names at a linear layer. */
export const loraParts = { a: 'lora_A.weight', b: 'lora_B.weight' } as const

const getPartNames = (kind: ModuleInfo['kind']): { a: string; b: string } =>
  kind === 'embedding' ? { a: 'lora_embedding_A', b: 'lora_embedding_B' } : loraParts
const getTensorNames = ({ kind }: ModuleInfo): { a: string; b: string } => getPartNames(kind)

/**
 * Whether the module is a target. An activated adapter acts on linear layers only, as
 * in PEFT.
 */
function isLoraTarget(config: LoraConfig, module: ModuleInfo): boolean {
  if (config.invocationTokens) return isLinearTarget(config, module, 'An activated LoRA')
  const isTarget = createTargetMatcher(config)
  if (!config.ensureWeightTying) return isTarget(module)
  if (module.path === headPath) return false
  // an adapted embedding also affects the head that shares its weight
  return (
    isTarget(module) || (module.kind === 'embedding' && isTarget({ ...module, path: headPath }))
  )
}

const shiftName = 'lora_B.bias'
/** LoRA+ raises the learning rate of B and of its bias. */
const learningRateGroup = 'loraPlus' as const
/**
 * The base's own bias, if it is trained too: PEFT keeps it inside a layer that it wrapped, and in
 * its original place otherwise.
 */
const wrappedBias = 'base_layer.bias'
const plainBias = 'bias'

/** R and s of one module. */
export function resolveRankAndScale(
  config: LoraConfig,
  module: ModuleInfo,
): { rank: number; scale: number } {
  const rank = resolvePatternValue(config.rankPattern, module.path, config.rank)
  const alpha = resolvePatternValue(config.alphaPattern, module.path, config.alpha)
  return { rank, scale: alpha / (config.rankStabilized ? Math.sqrt(rank) : rank) }
}

/**
 * Kaiming-uniform with a = √5 equals ±1/√in. An embedding's A starts at zero and its B normal, as
 * in PEFT.
 */
function listLowRankSpecs(
  { start, loraBias }: LoraConfig,
  module: ModuleInfo,
  rank: number,
): ParameterSpec[] {
  const { a, b } = getTensorNames(module)
  const shapeA = [rank, module.inFeatures]
  const shapeB = [module.outFeatures, rank]
  const random = start === 'random'
  if (start === 'mica')
    return listMinorSpecs(module, rank, { a, b, ...(loraBias && { shift: shiftName }) })
  if (module.kind === 'embedding') {
    return [
      {
        name: a,
        shape: shapeA,
        trainable: true,
        start: random ? drawNormal(shapeA, 1) : fillZeros(shapeA),
      },
      {
        name: b,
        shape: shapeB,
        trainable: true,
        learningRateGroup,
        start: drawNormal(shapeB, start === 'gaussian' ? 1 / rank : 1),
      },
    ]
  }
  const startA =
    start === 'gaussian'
      ? drawNormal(shapeA, 1 / rank)
      : drawUniform(shapeA, 1 / Math.sqrt(module.inFeatures))
  const startB = random ? drawUniform(shapeB, 1 / Math.sqrt(rank)) : fillZeros(shapeB)
  const shape = [module.outFeatures]
  return [
    { name: a, shape: shapeA, trainable: true, start: startA },
    { name: b, shape: shapeB, trainable: true, learningRateGroup, start: startB },
    ...(loraBias
      ? [{ name: shiftName, shape, trainable: true, learningRateGroup, start: fillZeros(shape) }]
      : []),
  ]
}

/** The base's own bias, if the configuration trains it. */
export function listBiasSpecs(
  { bias }: LoraConfig,
  module: ModuleInfo,
  targeted: boolean,
): ParameterSpec[] {
  if (!module.bias || bias === 'none' || (bias === 'lora_only' && !targeted)) return []
  const start: ParameterSpec['start'] = (_random, base) => base('bias').slice()
  return [
    {
      name: targeted ? wrappedBias : plainBias,
      shape: [module.outFeatures],
      trainable: true,
      reads: ['bias'],
      start,
    },
  ]
}

const hasShift = (config: LoraConfig, { kind }: ModuleInfo): boolean =>
  config.loraBias && kind === 'linear'

/**
 * The resulting bias of a module that the adapter replaces or shifts; undefined if it does neither.
 */
function computeBias(
  config: LoraConfig,
  { module, base, tensor }: ModuleTensors,
  targeted: boolean,
  scale: number,
): Float32Array | undefined {
  const [own] = listBiasSpecs(config, module, targeted)
  const bias = own ? tensor(own.name).slice() : undefined
  if (!targeted || !hasShift(config, module)) return bias
  if (!module.bias)
    throw new UnsupportedError(
      `${module.path}: ${shiftName} cannot be merged: the base layer has no bias.`,
    )
  const shift = tensor(shiftName)
  return (bias ?? base('bias')).map((value, i) => value + scale * shift[i]!)
}

/** A: [R, in], B: [out, R] */
export function inferLoraSizes(
  shapeOf: (name: string) => readonly number[] | undefined,
): ModuleSizes | undefined {
  for (const kind of ['linear', 'embedding'] as const) {
    const { a, b } = getPartNames(kind)
    const inFeatures = shapeOf(a)?.[1]
    const outFeatures = shapeOf(b)?.[0]
    if (inFeatures !== undefined && outFeatures !== undefined)
      return { kind, inFeatures, outFeatures }
  }
  return undefined
}

export const lora: AdapterKind<LoraConfig, typeof loraOptions> = {
  name: 'lora',
  peftType: 'LORA',
  effect: 'adds',
  mark: 'lora_',
  options: loraOptions,
  complete: completeLora,
  sizes: inferLoraSizes,
  readConfig: readLoraConfig,
  writeConfig: writeLoraConfig,

  parameters(config, module) {
    const targeted = isLoraTarget(config, module)
    return [
      ...(targeted
        ? listLowRankSpecs(config, module, resolveRankAndScale(config, module).rank)
        : []),
      ...listBiasSpecs(config, module, targeted),
    ]
  },

  apply(g, layer, config) {
    const { module } = layer
    const targeted = isLoraTarget(config, module)
    const [own] = listBiasSpecs(config, module, targeted)
    const y = layer.base(own ? { bias: layer.parameter(own.name) } : {})
    if (!targeted) return y
    const { scale } = resolveRankAndScale(config, module)
    const { a, b } = getTensorNames(module)
    const A = layer.parameter(a)
    const B = layer.parameter(b)
    const where = config.invocationTokens && layer.activation() // [.., 1]
    const activated = (x: Value): Value => (where ? g.multiply(x, where) : x)
    const low =
      module.kind === 'embedding'
        ? g.op('embedding', [g.transpose(A, [1, 0]), layer.x]) // [N, T, R]
        : // [.., R]
          g.matmul(config.dropout > 0 ? layer.dropout(layer.x) : layer.x, A, { transB: true })
    // [.., out]
    const adapted = g.add(y, g.matmul(activated(low), B, { transB: true, alpha: scale }))
    return hasShift(config, module)
      ? g.add(adapted, activated(g.scale(layer.parameter(shiftName), scale)))
      : adapted
  },

  applyTied(g, layer, config) {
    const { a, b } = getPartNames('embedding')
    const { scale } = resolveRankAndScale(config, layer.module)
    const x = config.dropout > 0 ? layer.dropout(layer.x) : layer.x
    const low = g.matmul(x, layer.parameter(b)) // [M, R]
    return g.add(layer.base(), g.matmul(low, layer.parameter(a), { alpha: scale })) // [M, V]
  },

  merge(config, at) {
    const { module } = at
    if (config.invocationTokens) throw createActivatedMergeError('This LoRA')
    const targeted = isLoraTarget(config, module)
    const { rank, scale } = resolveRankAndScale(config, module)
    const bias = computeBias(config, at, targeted, scale)
    const weight = at.base('weight').slice()
    const { a, b } = getTensorNames(module)
    const { inFeatures, outFeatures } = module
    if (targeted && module.kind === 'linear')
      addProduct(weight, at.tensor(b), at.tensor(a), [outFeatures, rank, inFeatures], scale)
    if (targeted && module.kind === 'embedding') {
      const rows = transposeValues(at.tensor(a), rank, inFeatures)
      const columns = transposeValues(at.tensor(b), outFeatures, rank)
      addProduct(weight, rows, columns, [inFeatures, rank, outFeatures], scale)
    }
    return bias ? { weight, bias } : { weight }
  },

  serve(config, { module, tensor }) {
    const targeted = isLoraTarget(config, module)
    if (listBiasSpecs(config, module, targeted).length > 0) return undefined // replaces the base's bias, which does not fit a slot
    const { rank, scale } = resolveRankAndScale(config, module)
    const { a, b } = getTensorNames(module)
    const { inFeatures, outFeatures, kind } = module
    const A =
      kind === 'embedding'
        ? f32([inFeatures, rank], transposeValues(tensor(a), rank, inFeatures))
        : f32([rank, inFeatures], tensor(a))
    const B = f32([outFeatures, rank], scaleValues(tensor(b), scale))
    return {
      A,
      B,
      ...(hasShift(config, module)
        ? { shift: f32([outFeatures], scaleValues(tensor(shiftName), scale)) }
        : {}),
      ...(config.invocationTokens ? { invocation: config.invocationTokens } : {}),
    }
  },
}
