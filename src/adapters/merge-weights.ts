// Merges an adapter into copies of base weights. The base does not change; dropping the copies
// removes the adapter.

import { OptionError, UnsupportedError } from '../base/errors.ts'
import { f32, type F32Tensor } from '../base/tensor.ts'
import { toFloat32 } from '../formats/convert.ts'
import type { Block, ModelGraph } from '../graph/model-graph.ts'
import { createBaseReader, checkFinite, type Adapter } from './adapter.ts'
import { getSavedPath, headPath, toPeftKey } from './keys.ts'
import type { AdapterKind, WeightOf } from './kinds/kind.ts'
import { isJointConfig } from './kinds/joint/joint-config.ts'
import { getKind } from './kinds/kind-table.ts'
import { listTokenTables, replaceTokenRows, type TokenTable } from './trainable-tokens.ts'
import { listSavedTensors } from './saved-modules.ts'
import { listBlockLayers, type AdaptableLayer } from './adapted-layers.ts'

/** What an adapter does to the weights of one module. All names are checkpoint names. */
export interface MergeStep {
  /** The base weights that the result depends on. */
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
  const row = getKind(adapter.kind)
  if (!row.merge) throw createMergeError(adapter)
  checkFinite(adapter)
  const owners = collectWeightOwners(model)
  const layers = model.blocks.flatMap((block) =>
    listBlockLayers(block).flatMap(
      (layer) => createMergeStep(adapter, row.merge!, layer, block, owners) ?? [],
    ),
  )
  return [...layers, ...listSavedSteps(model, adapter), ...listTokenSteps(model, adapter)]
}

function createMergeError({ kind, config }: Adapter): UnsupportedError {
  const kinds = isJointConfig(config) ? config.parts.map((part) => part.kind) : [kind]
  const unmerged = kinds.filter((name) => !getKind(name).merge)
  const merged = kinds.filter((name) => getKind(name).merge)
  return new UnsupportedError(
    merged.length === 0
      ? `A ${kind} adapter cannot be merged: it changes no weight. Serve it with the base instead.`
      : `A ${kind} adapter cannot be merged: its ${unmerged.join(' and ')} part changes no weight. Merge its ${merged.join(' and ')} part (the folder of that name), and serve ${unmerged.join(' and ')} on the merged model.`,
  )
}

/** Trained rows of the embedding; a tied head shares them in the adapter as in the base. */
function listTokenSteps(model: ModelGraph, { config, tensors }: Adapter): MergeStep[] {
  const tables = listTokenTables(config, model)
  for (const { path, weight } of tables) {
    // a tied head follows the embedding, not vice versa
    const [other] = listSharing(model, weight, path)
    if (other !== undefined && (path === headPath || tables.length > 1))
      throw createSharedError(path, other)
  }
  return tables.map(({ path, tokens, weight, spec }: TokenTable): MergeStep => ({
    reads: [weight],
    writes: [weight],
    merge: (weightOf) => {
      const table = weightOf(weight)
      const rows = getTensor(tensors, path, spec.name)
      const whole = f32(table.shape, toFloat32(table))
      return [[weight, replaceTokenRows(whole, tokens, rows)]]
    },
  }))
}

/** A change of one of two modules that share a weight, which merging would change for both. */
export class SharedWeightError extends UnsupportedError {}

const createSharedError = (path: string, ...others: readonly string[]): SharedWeightError =>
  new SharedWeightError(
    `${path} shares its weight with ${others.join(', ')}: merging would change both. Untie them first.`,
  )

/**
 * Modules that are saved whole. A tied embedding and head stay one weight if the adapter has one
 * for both; a tied model cannot hold two different ones.
 */
function listSavedSteps(model: ModelGraph, { config, tensors }: Adapter): MergeStep[] {
  const steps = new Map<string, MergeStep>()
  for (const [name, { base, shape }] of listSavedTensors(model, config)) {
    const key = toPeftKey(name)
    const tensor = tensors.get(key)
    if (!tensor)
      throw new OptionError(`The adapter has no tensor "${key}"; check it against the model first.`)
    const values = toFloat32(tensor)
    for (const path of listSharing(model, base, getSavedPath(key)))
      if (!isSharedReplacement(config) && !hasEqualTensor(tensors, path, values))
        throw createSharedError(`${getSavedPath(key)}.weight`, `${path}.weight`)
    steps.set(base, {
      reads: [],
      writes: [base],
      merge: () => [[base, f32(shape, values)]],
    })
  }
  return [...steps.values()]
}

/** Whether one weight of the adapter replaces both, as PEFT does. */
const isSharedReplacement = (config: Adapter['config']): boolean => {
  const { embeddings = [], modulesToSave = [], ensureWeightTying = false } = config
  return ensureWeightTying || (embeddings.length === 1 && modulesToSave.length === 0)
}

function hasEqualTensor(tensors: Adapter['tensors'], path: string, values: Float32Array): boolean {
  const other = tensors.get(toPeftKey(`${path}.weight`))
  return other !== undefined && toFloat32(other).every((value, i) => value === values[i])
}

/** The other modules that read this weight of the base. */
const listSharing = (model: ModelGraph, weightName: string, path: string): string[] =>
  (collectWeightOwners(model).get(weightName) ?? []).filter((owner) => owner !== path)

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

/** Undefined if the adapter does not change the layer. */
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
  // If an adapter changes only a bias, the base's weight is not copied.
  const changesWeight = specs.some(({ name }) => !/(^|\.)bias$/.test(name))
  const sharing = owners.get(weightName)!.filter((path) => path !== module.path)
  if (changesWeight && sharing.length > 0 && !config.ensureWeightTying)
    throw createSharedError(module.path, ...sharing)
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
