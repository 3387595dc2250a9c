// Folding an adapter into base weights, as copies: the base stays as it is, and taking the adapter out again is dropping the copies.

import { OptionError, UnsupportedError } from '../base/errors.ts'
import { f32, type F32Tensor } from '../base/tensor.ts'
import { toFloat32 } from '../formats/convert.ts'
import type { ModelGraph } from '../graph/model-graph.ts'
import { baseValues, checkFinite, type Adapter } from './adapter.ts'
import { peftKey } from './keys.ts'
import type { WeightOf } from './kind.ts'
import { kindNamed } from './kinds.ts'
import { savedTensors } from './saved-modules.ts'
import { layersOfBlock } from './site.ts'

/**
 * The base weights that the adapter changes, with it folded in, by checkpoint name: W' = W + s·B·A for LoRA. One layer at a time.
 * Throws UnsupportedError for a kind without merging, and for a weight that two modules share (tied embeddings) when one is changed alone;
 * NumericError for NaN or infinity.
 */
export function* mergedWeights(model: ModelGraph, adapter: Adapter, weightOf: WeightOf): Generator<[string, F32Tensor]> {
  const { config, tensors } = adapter
  const row = kindNamed(adapter.kind)
  if (!row.merge) throw new UnsupportedError(`A ${row.name} adapter cannot be merged: it changes no weight.`)
  checkFinite(adapter)
  const owners = weightOwners(model)
  for (const { prefix, ...block } of model.blocks) {
    for (const layer of layersOfBlock({ prefix, ...block })) {
      const { module, weight, bias } = layer
      if (row.parameters(config, module).length === 0) continue
      const base = baseValues(layer, prefix, weightOf)
      const merged = row.merge(config, { module, base, tensor: (name) => tensorOf(tensors, module.path, name) })
      const weightName = prefix + weight!.name
      const sharing = owners.get(weightName)!.filter((path) => path !== module.path)
      if (sharing.length > 0) {
        throw new UnsupportedError(
          `${module.path} shares its weight with ${sharing.join(', ')}: merging would change both. Untie them first.`,
        )
      }
      yield [weightName, f32(weight!.shape as number[], merged.weight)]
      if (merged.bias) yield [prefix + bias!.name, f32([module.outFeatures], merged.bias)]
    }
  }
  for (const [name, { base, shape }] of savedTensors(model, config.modulesToSave)) {
    if (base !== name) throw new UnsupportedError(`${name} shares its weight with ${base}: merging would change both. Untie them first.`)
    yield [base, f32(shape, tensorOf(tensors, name.slice(0, name.lastIndexOf('.')), name.slice(name.lastIndexOf('.') + 1)))]
  }
}

/** The module's own tensor of this name, or the one that all modules share. */
function tensorOf(tensors: Adapter['tensors'], path: string, name: string): Float32Array {
  const tensor = tensors.get(peftKey(`${path}.${name}`)) ?? tensors.get(name)
  if (!tensor) throw new OptionError(`The adapter has no tensor "${path}.${name}"; check it against the model first.`)
  return toFloat32(tensor)
}

function weightOwners(model: ModelGraph): Map<string, string[]> {
  const owners = new Map<string, string[]>()
  for (const block of model.blocks) {
    for (const { weight, module } of layersOfBlock(block)) {
      if (weight) owners.set(block.prefix + weight.name, [...(owners.get(block.prefix + weight.name) ?? []), module.path])
    }
  }
  return owners
}
