// An adapter is a plain value: its kind's name, a configuration, tensors by PEFT key. Making one,
// checking one, feeding one.

import {
  MismatchError,
  NumericError,
  OptionError,
  UnsupportedError,
  type Mismatch,
} from '../base/errors.ts'
import { isAllFinite } from '../base/finite.ts'
import { random } from '../base/random.ts'
import { f32, type F32Tensor, type Tensor } from '../base/tensor.ts'
import { toFloat32 } from '../formats/convert.ts'
import type { ModelGraph } from '../graph/model-graph.ts'
import { findBaseCopyMismatch, findBaseCopyPath, describeTensorShape } from './base-copy.ts'
import { toInputName, toPeftKey } from './keys.ts'
import type { AdapterConfig, BaseReader, ParameterSpec, WeightOf } from './kinds/kind.ts'
import { getKind } from './kinds/kind-table.ts'
import { resolvePreset } from './presets.ts'
import { listSavedTensors } from './saved-modules.ts'
import { listAdaptableModules, listBlockLayers, type AdaptableLayer } from './adapted-layers.ts'
import { selectTargetModules } from './targets.ts'

export interface Adapter {
  /** A row of `adapterKinds`. */
  readonly kind: string
  readonly config: AdapterConfig
  /** By PEFT key, in the type the file had. */
  readonly tensors: ReadonlyMap<string, Tensor>
  /** The base it was trained on, as PEFT names it. */
  readonly baseModel?: string
  /**
   * Texts that travel in the header of its tensor file: name, description, tags, the hash of the
   * data it learned from.
   */
  readonly metadata?: AdapterMetadata
}

export type AdapterMetadata = Readonly<Record<string, string>>

/**
 * The metadata's key for the hash of the base that an adapter learned on: `identity()` of the
 * model.
 */
export const baseHashKey = 'graft_base_sha256'

export interface CreateAdapterOptions {
  readonly seed: number
  readonly baseModel?: string
  readonly metadata?: AdapterMetadata
  /** Needed by kinds and options whose start depends on the base (trained biases). */
  readonly weightOf?: WeightOf
}

/** What the base has at one layer; throws OptionError where the weights were not given. */
export function createBaseReader(
  { module, node }: AdaptableLayer,
  prefix: string,
  weightOf: WeightOf | undefined,
): BaseReader {
  return (part) => {
    const value =
      node.operation === 'embedding' ? node.inputs[0] : node.inputs[part === 'weight' ? 1 : 2]
    if (node.operation === 'quantizedLinear')
      throw new UnsupportedError(
        `${module.path}: its weight is packed in blocks; give the unpacked model.`,
      )
    if (!weightOf)
      throw new OptionError(
        `${module.path}: this adapter's ${part} depends on the base; pass its weights as weightOf.`,
      )
    return toFloat32(weightOf(prefix + value!.name))
  }
}

/**
 * Every tensor an adapter of this configuration has for this model, by PEFT key, in the model's
 * order.
 */
export function listParameterSpecs(
  model: ModelGraph,
  { kind, config }: Pick<Adapter, 'kind' | 'config'>,
): Map<string, ParameterSpec> {
  const row = getKind(kind)
  const modules = listAdaptableModules(model)
  const shared = row.shared?.(config, modules, model.config) ?? []
  const own = modules.flatMap((module) =>
    row
      .parameters(config, module)
      .map((spec) => [toPeftKey(`${module.path}.${spec.name}`), spec] as const),
  )
  const saved = [...listSavedTensors(model, config.modulesToSave)].map(
    ([name, { shape }]): [string, ParameterSpec] => {
      const part = name.endsWith('.bias') ? 'bias' : 'weight'
      return [
        toPeftKey(name),
        { name: part, shape, trainable: true, start: (_random, base) => base(part).slice() },
      ]
    },
  )
  return new Map([...shared.map((spec) => [spec.name, spec] as const), ...own, ...saved])
}

/**
 * A number for each name, so that a tensor's start depends on its own key and the seed alone
 * (FNV-1a).
 */
function hashName(name: string): number {
  let value = 0x811c9dc5
  for (let i = 0; i < name.length; i++) value = Math.imul(value ^ name.charCodeAt(i), 0x01000193)
  return value
}

/**
 * The whole configuration of an adapter for this model, from a user's options: presets become lists
 * of names. Throws OptionError for wrong options and for targets that the model does not have.
 */
export function resolveAdapterConfig(
  kind: string,
  options: Readonly<Record<string, unknown>>,
  model: ModelGraph,
): AdapterConfig {
  const row = getKind(kind)
  const given = row.complete(options)
  const modules = listAdaptableModules(model)
  const config = { ...given, targets: resolvePreset(given.targets, modules) }
  if (!row.virtualTokens) selectTargetModules(config, modules)
  return row.fit?.(config, model.config) ?? config
}

/**
 * A fresh adapter: `createAdapter('lora', { rank: 16, targets: 'all-linear' }, model, { seed: 1
 * })`. The same arguments give the same numbers. Throws what configFor throws.
 */
export function createAdapter(
  kind: string,
  options: Readonly<Record<string, unknown>>,
  model: ModelGraph,
  { seed, baseModel, metadata, weightOf }: CreateAdapterOptions,
): Adapter {
  const config = resolveAdapterConfig(kind, options, model)
  const bases = new Map([
    ...createSavedReaders(model, config, weightOf),
    ...createLayerReaders(model, weightOf),
  ])
  const shared = createEmbeddingReader(model, weightOf)
  const tensors = new Map<string, Tensor>()
  for (const [key, spec] of listParameterSpecs(model, { kind, config })) {
    const base = bases.get(key.slice(0, -spec.name.length - 1)) ?? shared
    tensors.set(key, f32(spec.shape, spec.start(random(hashName(key) ^ seed), base)))
  }
  return {
    kind,
    config,
    tensors,
    ...(baseModel === undefined ? {} : { baseModel }),
    ...(metadata === undefined ? {} : { metadata }),
  }
}

/** To a tensor of no module, the base is the embedding; a standalone model has none. */
function createEmbeddingReader(model: ModelGraph, weightOf: WeightOf | undefined): BaseReader {
  const layer = listBlockLayers(model.blocks[0]!).find(({ module }) => module.kind === 'embedding')
  if (layer) return createBaseReader(layer, model.blocks[0]!.prefix, weightOf)
  return () => {
    throw new UnsupportedError(
      'This adapter starts from the embedding of its model, and the model has none.',
    )
  }
}

/** What the modules that are saved whole start from. */
const createSavedReaders = (
  model: ModelGraph,
  { modulesToSave }: AdapterConfig,
  weightOf: WeightOf | undefined,
): Map<string, BaseReader> =>
  new Map(
    [...listSavedTensors(model, modulesToSave)].map(([name, { base }]) => [
      toPeftKey(name.slice(0, name.lastIndexOf('.'))),
      (part) => {
        if (!weightOf)
          throw new OptionError(
            `${name}: a saved module starts from the base; pass its weights as weightOf.`,
          )
        return toFloat32(weightOf(`${base.slice(0, base.lastIndexOf('.'))}.${part}`))
      },
    ]),
  )

function createLayerReaders(
  model: ModelGraph,
  weightOf: WeightOf | undefined,
): Map<string, BaseReader> {
  return new Map(
    model.blocks.flatMap((block) =>
      listBlockLayers(block).map(
        (layer) =>
          [toPeftKey(layer.module.path), createBaseReader(layer, block.prefix, weightOf)] as const,
      ),
    ),
  )
}

/**
 * Checks an adapter against a model; throws one MismatchError with every missing, unexpected and
 * mis-shaped tensor. With the base's weights, copies of them that PEFT saved along (embeddings that
 * are targets) are compared too.
 */
export function checkAdapter(adapter: Adapter, model: ModelGraph, weightOf?: WeightOf): void {
  const expected = listParameterSpecs(model, adapter)
  const mismatches: Mismatch[] = []
  for (const [key, spec] of expected) {
    const tensor = adapter.tensors.get(key)
    const got = tensor ? describeTensorShape(tensor) : 'nothing'
    if (got !== describeTensorShape(spec))
      mismatches.push({ name: key, got, expected: describeTensorShape(spec) })
  }
  for (const [key, tensor] of adapter.tensors) {
    const path = findBaseCopyPath(key)
    const mismatch = path && findBaseCopyMismatch(key, path, tensor, { model, weightOf })
    if (mismatch) mismatches.push(mismatch)
    else if (path === undefined && !expected.has(key))
      mismatches.push({ name: key, got: describeTensorShape(tensor), expected: 'no such tensor' })
  }
  if (mismatches.length === 0) return
  const advice = `Was it trained on another base? ${adapter.baseModel ? `Its config says "${adapter.baseModel}".` : 'Its config names none.'}`
  throw new MismatchError(`The ${adapter.kind} adapter does not fit the model`, mismatches, advice)
}

/** The ids that every row begins with where the adapter has virtual tokens: −1 to −P; else none. */
export const listVirtualIds = ({ kind, config }: Pick<Adapter, 'kind' | 'config'>): number[] =>
  Array.from({ length: getKind(kind).virtualTokens?.(config) ?? 0 }, (_, i) => -1 - i)

/** Throws NumericError naming every tensor that holds NaN or infinity. */
export function checkFinite({ tensors }: Pick<Adapter, 'tensors'>): void {
  const bad = [...tensors]
    .filter(([, tensor]) => !isAllFinite(toFloat32(tensor)))
    .map(([key]) => key)
  if (bad.length > 0)
    throw new NumericError(
      `The adapter holds NaN or infinity in ${bad.slice(0, 8).join(', ')} (${bad.length} tensors).`,
    )
}

/**
 * The adapter's tensors in f32 by the input names of the composed graph: what is fed. f32 data is
 * not copied.
 */
export function toAdapterFeeds({ tensors }: Pick<Adapter, 'tensors'>): Map<string, F32Tensor> {
  return new Map(
    [...tensors]
      .filter(([key]) => findBaseCopyPath(key) === undefined)
      .map(([key, tensor]) => [toInputName(key), f32(tensor.shape, toFloat32(tensor))]),
  )
}
