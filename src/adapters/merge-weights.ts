// Merges an adapter into copies of base weights. The base does not change; dropping the copies
// removes the adapter.

import { OptionError, UnsupportedError } from '../base/errors.ts'
import { f32, type F32Tensor } from '../base/tensor.ts'
import { toFloat32 } from '../formats/convert.ts'
import type { Block, ModelGraph } from '../graph/model-graph.ts'
import { createBaseReader, checkFinite, type Adapter } from './adapter.ts'
import { toPeftKey } from './keys.ts'
import type { AdapterKind, WeightOf } from './kinds/kind.ts'
import { getKind } from './kinds/kind-table.ts'
import { listSavedTensors } from './saved-modules.ts'
import { listBlockLayers, type AdaptableLayer } from './adapted-layers.ts'

/** What an adapter does to the weights of one module. All names are checkpoint names. */
export interface MergeStep {
  /** The base weights that the result is made of. */
  readonly reads: readonly string[]
  /** The weights that may change; `merge` returns those that do. */
  readonly writes: readonly string[]
  merge(weightOf: WeightOf): [name: string, merged: F32Tensor][]
}

/**
 * The modules that an adapter changes, in the model's order, each to be merged once its base
 * weights are read. Throws UnsupportedError for a kind without merging, and for a weight that two
 * modules share (tied embeddings) when one is changed alone; NumericError for NaN or infinity in
 * the adapter.
 */
export function listMergeSteps(model: ModelGraph, adapter: Adapter): MergeStep[] {
  const { config } = adapter
  const row = getKind(adapter.kind)
  if (!row.merge)
    throw new UnsupportedError(
      `A ${row.name} adapter cannot be merged: it changes no weight. Serve it beside the base instead.`,
    )
  checkFinite(adapter)
  const owners = collectWeightOwners(model)
  const layers = model.blocks.flatMap((block) =>
    listBlockLayers(block).flatMap(
      (layer) => createMergeStep(adapter, row.merge!, layer, block, owners) ?? [],
    ),
  )
  const saved = [...listSavedTensors(model, config.modulesToSave)].map(
    ([name, { base, shape }]): MergeStep => {
      if (base !== name)
        throw new UnsupportedError(
          `${name} shares its weight with ${base}: merging would change both. Untie them first.`,
        )
      const at = name.lastIndexOf('.')
      return {
        reads: [],
        writes: [name],
        merge: () => [
          [name, f32(shape, getTensor(adapter.tensors, name.slice(0, at), name.slice(at + 1)))],
        ],
      }
    },
  )
  return [...layers, ...saved]
}

/**
 * The base weights that the adapter changes, with the adapter merged in, by checkpoint name: W' = W
 * + s·B·A for LoRA. One layer at a time. Throws what `listMergeSteps` throws.
 */
export function* mergeWeights(
  model: ModelGraph,
  adapter: Adapter,
  weightOf: WeightOf,
): Generator<[string, F32Tensor]> {
  for (const { merge } of listMergeSteps(model, adapter)) yield* merge(weightOf)
}

/** Undefined where the adapter does not touch the layer. */
function createMergeStep(
  { kind, config, tensors }: Adapter,
  merge: NonNullable<AdapterKind['merge']>,
  layer: AdaptableLayer,
  { prefix }: Block,
  owners: ReadonlyMap<string, readonly string[]>,
): MergeStep | undefined {
  const { module, weight, bias } = layer
  const specs = getKind(kind).parameters(config, module)
  if (specs.length === 0) return undefined
  const weightName = prefix + weight!.name
  const biasName = bias && prefix + bias.name
  // Where an adapter has only a bias, the base's weight is kept without a copy.
  const changesWeight = specs.some(({ name }) => !/(^|\.)bias$/.test(name))
  const sharing = owners.get(weightName)!.filter((path) => path !== module.path)
  if (changesWeight && sharing.length > 0) {
    throw new UnsupportedError(
      `${module.path} shares its weight with ${sharing.join(', ')}: merging would change both. Untie them first.`,
    )
  }
  return {
    reads: [weightName, ...(biasName ? [biasName] : [])],
    writes: [...(changesWeight ? [weightName] : []), ...(biasName ? [biasName] : [])],
    merge(weightOf) {
      const base = createBaseReader(layer, prefix, weightOf)
      const merged = merge(config, {
        module,
        base,
        tensor: (name) => getTensor(tensors, module.path, name),
      })
      return [
        ...(changesWeight
          ? [
              [weightName, f32(weight!.shape as number[], merged.weight)] satisfies [
                string,
                F32Tensor,
              ],
            ]
          : []),
        ...(merged.bias
          ? [[biasName!, f32([module.outFeatures], merged.bias)] satisfies [string, F32Tensor]]
          : []),
      ]
    },
  }
}

/** The module's own tensor of this name, or the one that all modules share. */
function getTensor(tensors: Adapter['tensors'], path: string, name: string): Float32Array {
  const tensor = tensors.get(toPeftKey(`${path}.${name}`)) ?? tensors.get(name)
  if (!tensor)
    throw new OptionError(
      `The adapter has no tensor "${path}.${name}"; check it against the model first.`,
    )
  return toFloat32(tensor)
}

function collectWeightOwners(model: ModelGraph): Map<string, string[]> {
  const owners = new Map<string, string[]>()
  for (const block of model.blocks) {
    for (const { weight, module } of listBlockLayers(block)) {
      if (weight)
        owners.set(block.prefix + weight.name, [
          ...(owners.get(block.prefix + weight.name) ?? []),
          module.path,
        ])
    }
  }
  return owners
}
