// Copies of base weights that PEFT saves where an embedding is a target. They are kept and compared
// with the base, but never applied.

import type { Mismatch } from '../base/errors.ts'
import type { Tensor } from '../base/tensor.ts'
import { toFloat32 } from '../formats/convert.ts'
import type { ModelGraph } from '../graph/model-graph.ts'
import { toInputName } from './keys.ts'
import type { WeightOf } from './kinds/kind.ts'
import { listBlockLayers } from './adapted-layers.ts'

const baseCopySuffix = '.base_layer.weight'

/** The module whose own weight a tensor is a copy of. */
export const findBaseCopyPath = (key: string): string | undefined =>
  key.endsWith(baseCopySuffix) ? toInputName(key).slice(0, -baseCopySuffix.length) : undefined

/**
 * Largest relative difference between a copy and the base: about the rounding of 4-bit blocks.
 */
const baseCopyTolerance = 0.1

/** What is wrong with a saved copy of a base weight; undefined where nothing is. */
export function findBaseCopyMismatch(
  key: string,
  path: string,
  tensor: Tensor,
  { model, weightOf }: CheckedBase,
): Mismatch | undefined {
  const got = describeTensorShape(tensor)
  for (const block of model.blocks) {
    const layer = listBlockLayers(block).find(({ module }) => module.path === path)
    if (!layer) continue
    const { kind, inFeatures, outFeatures } = layer.module
    const expected = describeTensorShape({
      shape: kind === 'embedding' ? [inFeatures, outFeatures] : [outFeatures, inFeatures],
    })
    if (got !== expected) return { name: key, got, expected }
    if (!weightOf || !layer.weight) return undefined
    const own = toFloat32(tensor)
    const base = toFloat32(weightOf(block.prefix + layer.weight.name))
    const distance = Math.sqrt(
      sumSquares(own.map((value, i) => value - base[i]!)) / sumSquares(base),
    )
    if (distance <= baseCopyTolerance) return undefined
    return {
      name: key,
      got: `a weight ${(100 * distance).toFixed(0)} % away from the base's`,
      expected: "the base's own weight",
    }
  }
  return { name: key, got, expected: 'no such tensor' }
}

interface CheckedBase {
  readonly model: ModelGraph
  readonly weightOf: WeightOf | undefined
}

export const describeTensorShape = ({ shape }: { readonly shape: readonly number[] }): string =>
  `[${shape.join(', ')}]`
const sumSquares = (values: Float32Array): number =>
  values.reduce((sum, value) => sum + value * value, 0)
