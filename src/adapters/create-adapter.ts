// Creating adapters. Kinds whose initial values depend on the base (DoRA, PiSSA, OLoRA, prompts
// from the vocabulary) read its weights one layer at a time.

import { OptionError, UnsupportedError } from '../base/errors.ts'
import { random } from '../base/random.ts'
import { checkOptions, describeValue, integer, mapOf, string, unchecked } from '../base/schema.ts'
import { f32, type Tensor } from '../base/tensor.ts'
import { toFloat32 } from '../formats/convert.ts'
import type { TensorStore } from '../formats/tensor-store.ts'
import type { ModelGraph } from '../graph/model-graph.ts'
import { listBlockLayers, type AdaptableLayer } from './adapted-layers.ts'
import {
  createBaseReader,
  findBaseInput,
  listParameterSpecs,
  resolveAdapterConfig,
  type Adapter,
  type AdapterMetadata,
} from './adapter.ts'
import { toPeftKey } from './keys.ts'
import type { BasePart, BaseReader, WeightOf } from './kinds/kind.ts'
import {
  type AdapterKindName,
  type AdapterOptions,
  getKind,
  type JointOptions,
  toKindName,
} from './kinds/kind-table.ts'
import { listSavedTensors, type SavedChoice } from './saved-modules.ts'

export interface CreateAdapterOptions {
  /** The same seed gives the same numbers. Default 0. */
  readonly seed?: number
  /** The base's name in the adapter's files. Default: the name of the model. */
  readonly baseModel?: string
  /** Strings for the header of the adapter's tensor file. */
  readonly metadata?: AdapterMetadata
  /** The base's weights, where `model` is a graph alone. */
  readonly weightOf?: WeightOf
}

const optionFields = {
  seed: integer(),
  baseModel: string(),
  metadata: mapOf(string()),
  weightOf: unchecked<WeightOf>('a function from a weight’s name to its tensor'),
}

/** A base: its graph, and its name and weights where they are known. */
export interface AdapterBase {
  readonly graph: ModelGraph
  readonly name?: string
  readonly weights?: Pick<TensorStore, 'read'>
  readonly weightOf?: WeightOf
}

/** What an adapter can be created for: a model, an open base model, or a graph. */
export type AdapterTarget = ModelGraph | AdapterBase | { readonly base: AdapterBase }

/** The base in any of its forms. Throws OptionError for anything else. */
export function resolveBase(model: AdapterTarget, what: string): AdapterBase {
  if (typeof model === 'object' && model !== null) {
    if ('base' in model && isBase(model.base)) return model.base
    if (isBase(model)) return model
    if ('blocks' in model && Array.isArray(model.blocks)) return { graph: model }
  }
  const isPromise = (model as unknown) instanceof Promise
  const got = isPromise ? 'a promise (await it first)' : describeValue(model)
  throw new OptionError(
    `${what}: model: got ${got}, expected a model, an open base model or a model's graph.`,
  )
}

const isBase = (value: unknown): value is AdapterBase =>
  typeof value === 'object' &&
  value !== null &&
  'graph' in value &&
  Array.isArray((value.graph as ModelGraph | undefined)?.blocks)

/**
 * A new adapter for a model: `await createAdapter('lora', { rank: 16, targets: 'all-linear' },
 * model)`. Several kinds can act together: `createAdapter(['ia3', 'prompt-tuning'], {
 * virtualTokens: 8 }, model)`, where an option applies to every kind that has it, and options under
 * a kind's name only to that kind. Except for a soft prompt, it changes nothing until it is
 * trained. Throws OptionError for an unknown kind, for unknown or wrong options, and for targets
 * that the model does not have.
 */
export async function createAdapter<Kind extends AdapterKindName>(
  kind: Kind | readonly Kind[],
  config: AdapterOptions<Kind> | JointOptions<Kind>,
  model: AdapterTarget,
  options: CreateAdapterOptions = {},
): Promise<Adapter> {
  const kindName = toKindName(kind)
  const base = resolveBase(model, 'createAdapter')
  const weightOf = options.weightOf ?? base.weightOf
  const named = { ...(base.name !== undefined && { baseModel: base.name }), ...options }
  const { weights } = base
  if (weightOf || !weights)
    return initializeAdapter(kindName, config, base.graph, {
      ...named,
      ...(weightOf && { weightOf }),
    })
  const creation = createSteps(kindName, config, base.graph, named)
  let held = new Map<string, Tensor>()
  let step = creation.next()
  while (!step.done) {
    const before = held
    held = new Map()
    for (const name of step.value) held.set(name, before.get(name) ?? (await weights.read(name)))
    step = creation.next((name) => held.get(name)!)
  }
  return step.value
}

/**
 * The same without waiting, for a graph whose weights are in memory (`weightOf`). Throws
 * OptionError if the kind needs weights and there are none.
 */
export function initializeAdapter(
  kind: string,
  config: Readonly<Record<string, unknown>>,
  model: ModelGraph,
  options: CreateAdapterOptions = {},
): Adapter {
  const creation = createSteps(kind, config, model, options)
  let step = creation.next()
  while (!step.done) step = creation.next(options.weightOf)
  return step.value
}

/** Yields the names of the base's weights that the next tensor needs, and expects a reader. */
function* createSteps(
  kind: string,
  options: Readonly<Record<string, unknown>>,
  model: ModelGraph,
  created: CreateAdapterOptions,
): Generator<readonly string[], Adapter, WeightOf | undefined> {
  checkOptions('createAdapter options', created, optionFields)
  const { seed = 0, baseModel, metadata } = created
  const config = resolveAdapterConfig(kind, options, model)
  const sources = new Map([...listSavedSources(model, config), ...listLayerSources(model)])
  const tensors = new Map<string, Tensor>()
  for (const [key, spec] of listParameterSpecs(model, { kind, config })) {
    const source = sources.get(key.slice(0, -spec.name.length - 1)) ?? findEmbeddingSource(model)
    const names = (spec.reads ?? []).map((part) => source.nameOf(part))
    const weightOf = names.length > 0 ? yield names : undefined
    const values = spec.start(random(hashName(key) ^ seed), source.createReader(weightOf))
    tensors.set(key, f32(spec.shape, values))
  }
  return {
    kind: getKind(kind).name,
    config,
    tensors,
    ...(baseModel !== undefined && { baseModel }),
    ...(metadata !== undefined && { metadata }),
  }
}

/** Where the base's values for one module come from. */
interface BaseSource {
  /** Checkpoint name of the module's weight or bias. */
  nameOf(part: BasePart): string
  createReader(weightOf: WeightOf | undefined): BaseReader
}

/**
 * A hash of the name (FNV-1a), so that a tensor's initial values depend only on its key and the
 * seed.
 */
function hashName(name: string): number {
  let value = 0x811c9dc5
  for (let i = 0; i < name.length; i++) value = Math.imul(value ^ name.charCodeAt(i), 0x01000193)
  return value
}

const createLayerSource = (layer: AdaptableLayer, prefix: string): BaseSource => ({
  nameOf: (part) => prefix + findBaseInput(layer, part)!.name,
  createReader: (weightOf) => createBaseReader(layer, prefix, weightOf),
})

const listLayerSources = (model: ModelGraph): [path: string, BaseSource][] =>
  model.blocks.flatMap((block) =>
    listBlockLayers(block).map((layer): [string, BaseSource] => [
      toPeftKey(layer.module.path),
      createLayerSource(layer, block.prefix),
    ]),
  )

/** Modules that are trained whole start from the base's own weights. */
const listSavedSources = (model: ModelGraph, choice: SavedChoice): [path: string, BaseSource][] =>
  [...listSavedTensors(model, choice)].map(([name, { base }]) => {
    const nameOf = (part: BasePart): string => `${base.slice(0, base.lastIndexOf('.'))}.${part}`
    const createReader =
      (weightOf: WeightOf | undefined): BaseReader =>
      (part) => {
        if (weightOf) return toFloat32(weightOf(nameOf(part)))
        throw new OptionError(
          `${name}: a saved module starts from the base; pass its weights as weightOf, or give the model.`,
        )
      }
    return [toPeftKey(name.slice(0, name.lastIndexOf('.'))), { nameOf, createReader }]
  })

/** Tensors that belong to no module start from the embedding. */
function findEmbeddingSource(model: ModelGraph): BaseSource {
  const [block] = model.blocks
  const layer = listBlockLayers(block!).find(({ module }) => module.kind === 'embedding')
  if (layer) return createLayerSource(layer, block!.prefix)
  const refuse = (): never => {
    throw new UnsupportedError(
      'This adapter starts from the embedding of its model, and the model has none.',
    )
  }
  return { nameOf: refuse, createReader: () => refuse }
}
