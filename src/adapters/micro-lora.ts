// Converts a LoRA adapter to a MicroLoRA, which continues to learn from single examples, and back.
// Independent of models: the modules' sizes are read from the adapter's tensors.

import { MismatchError, UnsupportedError } from '../base/errors.ts'
import { f32, type F32Tensor, type Tensor } from '../base/tensor.ts'
import { toFloat32 } from '../formats/convert.ts'
import type { ModuleInfo } from '../graph/model-graph.ts'
import { MicroLora, type MicroLoraOptions } from '../micro/index.ts'
import type { Adapter } from './adapter.ts'
import { inferModules } from './files/modules-from-tensors.ts'
import { toPeftKey } from './keys.ts'
import { loraParts, resolveRankAndScale } from './kinds/lora.ts'
import { completeLora, type LoraConfig } from './kinds/lora-config.ts'
import { transposeValues } from './kinds/matrices.ts'

/** MicroLoRA's options except those that the adapter determines. */
export type AdapterMicroLoraOptions = Omit<
  MicroLoraOptions,
  'rank' | 'alpha' | 'bias' | 'init' | 'inFeatures' | 'outFeatures' | 'modules' | 'targets'
>

const maxRank = 16 // of a MicroLoRA
const biasName = 'lora_B.bias'

/** One module of the adapter: y = scale·(B·A·x + shift). */
interface LoraModule {
  readonly path: string
  readonly info: ModuleInfo
  readonly rank: number
  readonly scale: number
  readonly a: Float32Array // [R, in]
  readonly b: Float32Array // [out, R]
  readonly shift: Float32Array | undefined // [out]
}

/** Why an adapter cannot be a MicroLoRA; empty where it can. */
function listProblems({ kind, config, tensors }: Adapter, infos: readonly ModuleInfo[]): string[] {
  if (kind !== 'lora')
    return [`its kind is ${kind}, expected lora; \`graft extract\` makes a LoRA of a merged model`]
  const { invocationTokens, modulesToSave, bias } = config as LoraConfig
  const problems: string[] = []
  if (invocationTokens) problems.push('it acts from invocation tokens on, which are not known here')
  if (modulesToSave?.length) problems.push(`it trains ${modulesToSave.join(', ')} whole`)
  if (bias !== 'none') problems.push(`it replaces the base's biases (bias: ${bias})`)
  for (const { path, kind: layer } of infos)
    if (layer !== 'linear') problems.push(`${path}: is an embedding, expected a linear layer`)
  const known = new Set(
    infos.flatMap(({ path }) =>
      [loraParts.a, loraParts.b, biasName].map((name) => toPeftKey(`${path}.${name}`)),
    ),
  )
  for (const key of tensors.keys())
    if (!known.has(key)) problems.push(`${key}: belongs to no LoRA layer`)
  return problems
}

/** Throws UnsupportedError that lists everything that a MicroLoRA cannot hold. */
function readModules(adapter: Adapter): LoraModule[] {
  const infos = inferModules(adapter)
  const problems = listProblems(adapter, infos)
  const config = adapter.config as LoraConfig
  const modules = problems.length > 0 ? [] : infos.map((info) => readModule(adapter, config, info))
  for (const { path, rank } of modules)
    if (rank > maxRank)
      problems.push(
        `${path}: its rank is ${rank}, expected at most ${maxRank}; \`graft compress --rank ${maxRank}\` lowers it`,
      )
  if (problems.length === 0 && modules.length === 0) problems.push('it has no LoRA layers')
  if (problems.length > 0)
    throw new UnsupportedError(
      `The adapter cannot continue as a MicroLoRA: ${[...new Set(problems)].join('; ')}.`,
    )
  return modules
}

function readModule({ tensors }: Adapter, config: LoraConfig, info: ModuleInfo): LoraModule {
  const find = (name: string): Tensor | undefined => tensors.get(toPeftKey(`${info.path}.${name}`))
  const read = (name: string): Float32Array => toFloat32(find(name)!)
  const a = find(loraParts.a)!
  const b = find(loraParts.b)!
  const { rank, scale } = resolveRankAndScale(config, info)
  if (a.shape[0] !== rank || b.shape[1] !== rank)
    throw new MismatchError('The adapter does not fit its configuration', [
      { name: info.path, got: `ranks ${a.shape[0]} and ${b.shape[1]}`, expected: `rank ${rank}` },
    ])
  const shift = find(biasName) && read(biasName)
  const { path } = info
  return { path, info, rank, scale, a: read(loraParts.a), b: read(loraParts.b), shift }
}

/**
 * A MicroLoRA with the adapter's modules and weights: it has the same outputs and can continue to
 * learn. Its modules have the adapter's paths. If ranks differ, all modules get the largest; added
 * rows are zero. Its `reset` gives a new MicroLoRA, not the adapter again. Throws UnsupportedError
 * for other kinds than LoRA and for ranks above 16.
 */
export function toMicroLora(adapter: Adapter, options: AdapterMicroLoraOptions = {}): MicroLora {
  const modules = readModules(adapter)
  const rank = Math.max(...modules.map((module) => module.rank))
  const { scale } = modules[0]!
  const lora = new MicroLora({
    dropout: adapter.config.dropout,
    ...options,
    rank,
    alpha: scale * rank,
    bias: modules.some(({ shift }) => shift !== undefined),
    modules: Object.fromEntries(
      modules.map(({ path, info: { inFeatures, outFeatures } }) => [
        path,
        { inFeatures, outFeatures },
      ]),
    ),
  })
  for (const module of modules) writeWeights(lora, module)
  return lora
}

/** A's rows, B's rows, the bias: the contents of a MicroLoRA's slot. */
function writeWeights(lora: MicroLora, { path, info, rank, scale, a, b, shift }: LoraModule): void {
  const own = lora.module(path)
  const { inFeatures, outFeatures } = info
  const share = scale / own.scale // 1 unless modules have several scales
  const weights = own.read('weights') // B is zero, A random: rows beyond the adapter's rank stay so
  const startOfB = own.layout.rank * inFeatures
  weights.set(a)
  const rows = transposeValues(b, outFeatures, rank)
  weights.set(share === 1 ? rows : rows.map((value) => share * value), startOfB)
  if (shift)
    weights.set(
      shift.map((value) => scale * value),
      startOfB + own.layout.rank * outFeatures,
    )
  own.write('weights', weights)
}

/** An adapter's metadata. */
export type MicroLoraOrigin = Partial<Pick<Adapter, 'baseModel' | 'metadata' | 'config'>>

/**
 * A LoRA adapter with a MicroLoRA's weights, for every command and format that accepts adapters.
 * `like`: the adapter it came from, whose base, metadata and targets are kept.
 */
export function fromMicroLora(lora: MicroLora, like: MicroLoraOrigin = {}): Adapter {
  const { rank, alpha, bias, dropout, modules } = lora.config
  const tensors = new Map<string, F32Tensor>()
  for (const path of Object.keys(modules)) {
    const own = lora.module(path)
    const { inFeatures, outFeatures } = own.layout
    const weights = own.read('weights')
    const endOfA = rank * inFeatures
    const endOfB = endOfA + rank * outFeatures
    const b = transposeValues(weights.subarray(endOfA, endOfB), rank, outFeatures)
    const key = (name: string): string => toPeftKey(`${path}.${name}`)
    tensors.set(key(loraParts.a), f32([rank, inFeatures], weights.slice(0, endOfA)))
    tensors.set(key(loraParts.b), f32([outFeatures, rank], b))
    if (bias)
      tensors.set(
        key(biasName),
        f32(
          [outFeatures],
          weights.slice(endOfB).map((value) => value / own.scale),
        ),
      )
  }
  const { targets = Object.keys(modules), exclude = [], layers, layersPattern } = like.config ?? {}
  const chosen = { targets, exclude, layers, layersPattern }
  return {
    kind: 'lora',
    config: completeLora({ ...chosen, rank, alpha, dropout, loraBias: bias }),
    tensors,
    ...(like.baseModel !== undefined && { baseModel: like.baseModel }),
    ...(like.metadata && { metadata: like.metadata }),
  }
}
