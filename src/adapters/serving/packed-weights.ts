// Serving weights as an adapter stores them, or packed, until a slot is filled from them: the cold
// form of an expert. Independent of slots and programs.

import type { Tensor } from '../../base/tensor.ts'
import type { ModelGraph } from '../../graph/model-graph.ts'
import type { Adapter } from '../adapter.ts'
import { listBlockLayers } from '../adapted-layers.ts'
import { toPeftKey } from '../keys.ts'
import type { ServingWeights } from '../kinds/kind.ts'
import { getKind } from '../kinds/kind-table.ts'
import { loraParts, resolveRankAndScale } from '../kinds/lora.ts'
import type { LoraConfig } from '../kinds/lora-config.ts'
import { isPackedAdapter } from '../packed/pack-adapter.ts'
import {
  countHeldBytes,
  type PackedBits,
  type PackedTensor,
  packTensor,
} from '../packed/packed-tensor.ts'
import { readServingWeights, type ServingWeightMap } from './serving-weights.ts'

/** As `ServingWeights`, but with A and B packed, and B yet to be multiplied by `scaling`. */
export interface PackedServingWeights extends Omit<ServingWeights, 'A' | 'B'> {
  readonly A: Tensor | PackedTensor
  readonly B: Tensor | PackedTensor
  readonly scaling: number
}

/** By module path; a missing module is unchanged. */
export type PackedWeightMap = ReadonlyMap<string, PackedServingWeights>

/** Serving weights with A and B in 16, 8 or 4 bits; vectors are not packed. */
export const packServingWeights = (forms: ServingWeightMap, bits: PackedBits): PackedWeightMap =>
  new Map(
    [...forms].map(([path, form]) => {
      const A = packTensor(form.A, bits, `${path}.A`)
      const B = packTensor(form.B, bits, `${path}.B`)
      return [path, { ...form, A, B, scaling: 1 }]
    }),
  )

/**
 * The serving weights of a LoRA over its own tensors, packed or not, without a copy; undefined if it
 * has more than A and B of linear layers (shifts, embeddings, modules saved whole), or tensors that
 * the model has no layer for.
 */
export function findOwnFactors(adapter: Adapter, model: ModelGraph): PackedWeightMap | undefined {
  const { kind, config, tensors } = adapter
  if (kind !== 'lora') return undefined
  const getHeld = (key: string): Tensor | PackedTensor | undefined =>
    isPackedAdapter(adapter) ? adapter.tensors.getHeld(key) : tensors.get(key)
  const { parameters } = getKind(kind)
  const { invocationTokens: invocation } = config
  const forms = new Map<string, PackedServingWeights>()
  for (const { module } of model.blocks.flatMap(listBlockLayers)) {
    if (parameters(config, module).length === 0) continue
    const A = getHeld(toPeftKey(`${module.path}.${loraParts.a}`))
    const B = getHeld(toPeftKey(`${module.path}.${loraParts.b}`))
    if (!A || !B) return undefined
    const { scale: scaling } = resolveRankAndScale(config as LoraConfig, module)
    forms.set(module.path, { A, B, scaling, ...(invocation && { invocation }) })
  }
  return 2 * forms.size === tensors.size ? forms : undefined
}

/**
 * The cold form of an adapter: a packed LoRA's own bytes, else its serving weights packed in
 * `bits`. Fill a slot from it with `unpackInto(slot, B, scaling)`. Throws what `readServingWeights`
 * throws.
 */
export async function readPackedWeights(
  adapter: Adapter,
  model: ModelGraph,
  read: (name: string) => Promise<Tensor>,
  bits: PackedBits,
): Promise<PackedWeightMap> {
  const own = isPackedAdapter(adapter) ? findOwnFactors(adapter, model) : undefined
  return own ?? packServingWeights(await readServingWeights(adapter, model, read), bits)
}

/** Bytes of a cold form in memory. */
export function countPackedBytes(forms: PackedWeightMap): number {
  let sum = 0
  for (const { A, B, shift, u, v } of forms.values()) {
    sum += countHeldBytes(A) + countHeldBytes(B)
    for (const vector of [shift, u, v]) sum += vector?.data.byteLength ?? 0
  }
  return sum
}
