// An adapter is a plain value: its kind's name, a configuration, tensors by PEFT key. Making one, and checking one against a model.

import { MismatchError, NumericError, OptionError, UnsupportedError, type Mismatch } from '../base/errors.ts'
import { random } from '../base/random.ts'
import { f32, type F32Tensor, type Tensor } from '../base/tensor.ts'
import { toFloat32 } from '../formats/convert.ts'
import type { ModelGraph } from '../graph/model-graph.ts'
import { inputName, peftKey } from './keys.ts'
import type { AdapterConfig, BaseValues, ParameterSpec } from './kind.ts'
import { kindNamed } from './kinds.ts'
import { resolvePreset } from './presets.ts'
import { adaptableModules, layersOf, type Layer } from './site.ts'
import { targetModules } from './targets.ts'

export interface Adapter {
  /** A row of `adapterKinds`. */
  readonly kind: string
  readonly config: AdapterConfig
  /** By PEFT key, in the type the file had. */
  readonly tensors: ReadonlyMap<string, Tensor>
  /** The base it was trained on, as PEFT names it. */
  readonly baseModel?: string
}

/** A base weight by its checkpoint name. */
export type WeightOf = (name: string) => Tensor

export interface CreateOptions {
  readonly seed: number
  readonly baseModel?: string
  /** Needed by kinds and options whose start depends on the base (trained biases). */
  readonly weightOf?: WeightOf
}

/** What the base has at one layer; throws OptionError where the weights were not given. */
export function baseValues({ module, node }: Layer, prefix: string, weightOf: WeightOf | undefined): BaseValues {
  return (part) => {
    const value = node.operation === 'embedding' ? node.inputs[0] : node.inputs[part === 'weight' ? 1 : 2]
    if (node.operation === 'quantizedLinear')
      throw new UnsupportedError(`${module.path}: its weight is packed in blocks; give the unpacked model.`)
    if (!weightOf) throw new OptionError(`${module.path}: this adapter's ${part} depends on the base; pass its weights as weightOf.`)
    return toFloat32(weightOf(prefix + value!.name))
  }
}

/** Every tensor an adapter of this configuration has for this model, by PEFT key, in the model's order. */
export function parametersOf(model: ModelGraph, { kind, config }: Pick<Adapter, 'kind' | 'config'>): Map<string, ParameterSpec> {
  const row = kindNamed(kind)
  const modules = adaptableModules(model)
  const shared = row.shared?.(config, modules) ?? []
  const own = modules.flatMap((module) =>
    row.parameters(config, module).map((spec) => [peftKey(`${module.path}.${spec.name}`), spec] as const),
  )
  return new Map([...shared.map((spec) => [spec.name, spec] as const), ...own])
}

/** A number for each name, so that a tensor's start depends on its own key and the seed alone (FNV-1a). */
function hash(name: string): number {
  let value = 0x811c9dc5
  for (let i = 0; i < name.length; i++) value = Math.imul(value ^ name.charCodeAt(i), 0x01000193)
  return value
}

/**
 * A fresh adapter: `createAdapter('lora', { rank: 16, targets: 'all-linear' }, model, { seed: 1 })`. The same arguments give the same numbers.
 * Presets become lists of names. Throws OptionError for wrong options and for targets that the model does not have.
 */
export function createAdapter(
  kind: string,
  options: Readonly<Record<string, unknown>>,
  model: ModelGraph,
  { seed, baseModel, weightOf }: CreateOptions,
): Adapter {
  const row = kindNamed(kind)
  const given = row.complete(options)
  const modules = adaptableModules(model)
  const config = { ...given, targets: resolvePreset(given.targets, modules) }
  targetModules(config, modules)
  const bases = basesOf(model, weightOf)
  const tensors = new Map<string, Tensor>()
  for (const [key, spec] of parametersOf(model, { kind, config })) {
    const base = bases.get(key.slice(0, -spec.name.length - 1)) ?? noBase
    tensors.set(key, f32(spec.shape, spec.start(random(hash(key) ^ seed), base)))
  }
  return { kind, config, tensors, ...(baseModel === undefined ? {} : { baseModel }) }
}

const noBase: BaseValues = () => {
  throw new OptionError('internal: a shared tensor has no base weight.')
}

function basesOf(model: ModelGraph, weightOf: WeightOf | undefined): Map<string, BaseValues> {
  return new Map(
    model.blocks.flatMap((block) =>
      layersOf({ ...model, blocks: [block] }).map(
        (layer) => [peftKey(layer.module.path), baseValues(layer, block.prefix, weightOf)] as const,
      ),
    ),
  )
}

/** PEFT saves an embedding's own weight along when the embedding is a target. It is carried, never applied. */
const isBaseCopy = (key: string): boolean => key.endsWith('.base_layer.weight')

/**
 * Checks an adapter against a model; throws one MismatchError with every missing, unexpected and mis-shaped tensor.
 */
export function checkAdapter(adapter: Adapter, model: ModelGraph): void {
  const expected = parametersOf(model, adapter)
  const mismatches: Mismatch[] = []
  for (const [key, { shape }] of expected) {
    const tensor = adapter.tensors.get(key)
    const wanted = `[${shape.join(', ')}]`
    if (!tensor) mismatches.push({ name: key, got: 'nothing', expected: wanted })
    else if (tensor.shape.join() !== shape.join()) mismatches.push({ name: key, got: `[${tensor.shape.join(', ')}]`, expected: wanted })
  }
  for (const [key, { shape }] of adapter.tensors) {
    if (!expected.has(key) && !isBaseCopy(key)) mismatches.push({ name: key, got: `[${shape.join(', ')}]`, expected: 'no such tensor' })
  }
  if (mismatches.length === 0) return
  const advice = `Was it trained on another base? ${adapter.baseModel ? `Its config says "${adapter.baseModel}".` : 'Its config names none.'}`
  throw new MismatchError(`The ${adapter.kind} adapter does not fit the model`, mismatches, advice)
}

/** Throws NumericError naming every tensor that holds NaN or infinity. */
export function checkFinite({ tensors }: Pick<Adapter, 'tensors'>): void {
  const bad = [...tensors].filter(([, tensor]) => !toFloat32(tensor).every(Number.isFinite)).map(([key]) => key)
  if (bad.length > 0) throw new NumericError(`The adapter holds NaN or infinity in ${bad.slice(0, 8).join(', ')} (${bad.length} tensors).`)
}

/** The adapter's tensors in f32 by the input names of the composed graph: what is fed. f32 data is not copied. */
export function adapterFeeds({ tensors }: Pick<Adapter, 'tensors'>): Map<string, F32Tensor> {
  return new Map(
    [...tensors].filter(([key]) => !isBaseCopy(key)).map(([key, tensor]) => [inputName(key), f32(tensor.shape, toFloat32(tensor))]),
  )
}
