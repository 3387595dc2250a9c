// Graph pass: linear layers whose weights are packed become quantizedLinear, so that their weights
// stay in 4 or 8 bits while they run.

import type { Tensor } from '../base/tensor.ts'
import type { GraphBuilder } from '../graph/builder.ts'
import type { Dim, Graph, Value } from '../graph/ir.ts'
import { prune, rewrite } from '../graph/passes/rewrite.ts'
import { splitHalves, type PackedWeight } from './pack.ts'

/** What the pass must know of a packed weight: everything but its bytes. */
export type PackedForm = Pick<PackedWeight, 'bits' | 'block'> & { readonly withOffsets: boolean }

export const toPackedForm = ({ bits, block, offsets }: PackedWeight): PackedForm => ({
  bits,
  block,
  withOffsets: offsets !== undefined,
})

/** Activations in int8 inside the product (fast, about 0.5 % off a product), or in f32 (exact). */
export type Accuracy = 'fast' | 'exact'
const accuracyLevels: Record<Accuracy, number> = { fast: 4, exact: 0 } // MatMulNBits' accuracy_level

const isHalved = ({ bits }: PackedForm, accuracy: Accuracy): boolean =>
  bits === 8 && accuracy === 'exact'

/**
 * Replaces `linear` nodes by the forms of their weights; a weight without a form stays f32. New
 * inputs: `collectPackedInputs(name, weight)`.
 */
export function packLinears(
  graph: Graph,
  formOfWeight: (weight: string) => PackedForm | undefined,
  accuracy: Accuracy,
): Graph {
  const ofBase = new Set(
    graph.inputs.filter(({ role }) => role === 'weight').map(({ name }) => name),
  ) // an adapter's own weights stay as they are
  const packed = rewrite(graph, '%q', (g, { operation, inputs: [x, weight, bias], attributes }) => {
    if (operation !== 'linear' || !x || !weight || !ofBase.has(weight.name)) return undefined
    const form = formOfWeight(weight.name)
    if (!form) return undefined
    const layer = { x, weight, module: String(attributes.module), accuracy }
    const y = isHalved(form, accuracy)
      ? g.add(
          buildProduct(
            g,
            { ...layer, name: `${weight.name}.high` },
            { ...form, bits: 4, withOffsets: false },
          ),
          buildProduct(
            g,
            { ...layer, name: `${weight.name}.low` },
            { ...form, bits: 4, withOffsets: true },
          ),
        )
      : buildProduct(g, { ...layer, name: weight.name }, form)
    return bias ? g.add(y, bias) : y
  })
  return prune(packed)
}

function buildProduct(
  g: GraphBuilder,
  {
    x,
    weight,
    name,
    module,
    accuracy,
  }: { x: Value; weight: Value; name: string; module: string; accuracy: Accuracy },
  { bits, block, withOffsets }: PackedForm,
): Value {
  const [outFeatures, inFeatures] = weight.shape as [number, number]
  const perRow = inFeatures / block
  const input = (part: string, dtype: 'u8' | 'f32', shape: readonly Dim[]) =>
    g.input(`${name}.${part}`, dtype, shape, 'weight')
  const parts = [
    input('codes', 'u8', [outFeatures, perRow, (block * bits) / 8]),
    input('scales', 'f32', [outFeatures * perRow]),
  ]
  if (withOffsets) parts.push(input('offsets', 'f32', [perRow, outFeatures]))
  return g.op('quantizedLinear', [x, ...parts], {
    bits,
    block,
    inFeatures,
    outFeatures,
    accuracy: accuracyLevels[accuracy],
    module,
  })
}

/** The name of the weight that an input made by packLinears belongs to; any other name as it is. */
export const getPackedWeightName = (input: string): string =>
  input.replace(/(\.(high|low))?\.(codes|scales|offsets)$/, '')

/** A packed weight's tensors under the names of the inputs that packLinears makes. */
export function collectPackedInputs(
  name: string,
  packed: PackedWeight,
  accuracy: Accuracy,
): Map<string, Tensor> {
  if (isHalved(toPackedForm(packed), accuracy)) {
    const { high, low } = splitHalves(packed)
    return new Map([...listParts(`${name}.high`, high), ...listParts(`${name}.low`, low)])
  }
  return new Map(listParts(name, packed))
}

const listParts = (name: string, { codes, scales, offsets }: PackedWeight): [string, Tensor][] => [
  [`${name}.codes`, codes],
  [`${name}.scales`, scales],
  ...(offsets ? [[`${name}.offsets`, offsets] satisfies [string, Tensor]] : []),
]
