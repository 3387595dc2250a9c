// Graph pass: linear layers whose weights are packed become quantizedLinear, so that their weights stay in 4 or 8 bits while they run.

import type { Tensor } from '../base/tensor.ts'
import type { Dim, Graph } from '../graph/ir.ts'
import { prune, rewrite } from '../graph/rewrite.ts'
import type { PackedWeight } from './pack.ts'

/** What the pass must know of a packed weight: everything but its bytes. */
export type PackedForm = Pick<PackedWeight, 'bits' | 'block'> & { readonly withOffsets: boolean }

export const formOf = ({ bits, block, offsets }: PackedWeight): PackedForm => ({ bits, block, withOffsets: offsets !== undefined })

/** Activations in int8 inside the product (fast, about 0.5 % off a product), or in f32 (exact). */
export type Accuracy = 'fast' | 'exact'
const accuracyLevels: Record<Accuracy, number> = { fast: 4, exact: 0 } // MatMulNBits' accuracy_level

/** Replaces `linear` nodes by the forms of their weights; a weight without a form stays f32. New inputs: `packedInputs(name, weight)`. */
export function packLinears(graph: Graph, formOfWeight: (weight: string) => PackedForm | undefined, accuracy: Accuracy): Graph {
  const packed = rewrite(graph, '%q', (g, { operation, inputs: [x, weight, bias], attributes }) => {
    if (operation !== 'linear' || !x || !weight) return undefined
    const form = formOfWeight(weight.name)
    if (!form) return undefined
    const [outFeatures, inFeatures] = weight.shape as [number, number]
    const { bits, block, withOffsets } = form
    const perRow = inFeatures / block
    const input = (part: string, dtype: 'u8' | 'f32', shape: readonly Dim[]) => g.input(`${weight.name}.${part}`, dtype, shape, 'weight')
    const parts = [input('codes', 'u8', [outFeatures, perRow, (block * bits) / 8]), input('scales', 'f32', [outFeatures * perRow])]
    if (withOffsets) parts.push(input('offsets', 'f32', [perRow, outFeatures]))
    const attributesOfProduct = {
      bits,
      block,
      outFeatures,
      inFeatures,
      accuracy: accuracyLevels[accuracy],
      module: String(attributes.module),
    }
    const y = g.op('quantizedLinear', [x, ...parts], attributesOfProduct)
    return bias ? g.add(y, bias) : y
  })
  return prune(packed)
}

/** A packed weight's tensors under the names of the inputs that packLinears makes. */
export function packedInputs(weight: string, { codes, scales, offsets }: PackedWeight): Map<string, Tensor> {
  const inputs = new Map<string, Tensor>([
    [`${weight}.codes`, codes],
    [`${weight}.scales`, scales],
  ])
  if (offsets) inputs.set(`${weight}.offsets`, offsets)
  return inputs
}
