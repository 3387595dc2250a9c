// The table of frozen forms, and the quantisations of a model that are made of them: which form
// each of its matrices takes.

import { assertInternal } from '../../base/errors.ts'
import { type F32Tensor, f32, type Tensor } from '../../base/tensor.ts'
import type { FrozenForm, FrozenShape } from './frozen-form.ts'
import { int8 } from './int8.ts'
import { nf4 } from './nf4.ts'

export const frozenForms: ReadonlyMap<string, FrozenForm> = new Map(
  [nf4, int8].map((form) => [form.name, form]),
)

/**
 * nf4: matrices of the layers in NF4, embedding and head in 8 bits. int8: everything in 8 bits.
 * Norms and biases stay f32.
 */
export const quantizations = ['nf4', 'int8'] as const
export type Quantization = (typeof quantizations)[number]

/** A base weight that is kept quantised. */
export interface FrozenWeight {
  readonly form: string
  readonly shape: FrozenShape
  /** By the names that the form gives its parts. */
  readonly parts: ReadonlyMap<string, Tensor>
}

/** A base weight as training is fed with it. */
export type BaseWeight = F32Tensor | FrozenWeight

export const isFrozen = (weight: BaseWeight): weight is FrozenWeight => 'form' in weight

export function getFrozenForm(name: string): FrozenForm {
  const form = frozenForms.get(name)
  assertInternal(form, `there is no frozen form "${name}"`)
  return form
}

const choices: Readonly<Record<Quantization, (inLayer: boolean) => FrozenForm>> = {
  nf4: (inLayer) => (inLayer ? nf4 : int8),
  int8: () => int8,
}

/** Quantises a weight; a vector, and a matrix whose rows are no whole blocks, stay as they are. */
export function freeze(
  tensor: F32Tensor,
  quantization: Quantization,
  inLayer: boolean,
): BaseWeight {
  const form = choices[quantization](inLayer)
  const [rows, columns] = tensor.shape
  if (tensor.shape.length !== 2 || !form.fits([rows!, columns!])) return tensor
  const shape: FrozenShape = [rows!, columns!]
  const tensors = form.quantize(tensor.data, shape)
  return {
    form: form.name,
    shape,
    parts: new Map(form.parts(shape).map(({ name }, i) => [name, tensors[i]!])),
  }
}

/** The weight in f32: for a frozen one a new tensor of what its products see. */
export function thaw(weight: BaseWeight): F32Tensor {
  if (!isFrozen(weight)) return weight
  return f32(
    weight.shape,
    getFrozenForm(weight.form).dequantize([...weight.parts.values()], weight.shape),
  )
}

/** Bytes that weights take in memory. */
export function countWeightBytes(weights: Iterable<BaseWeight>): number {
  let bytes = 0
  for (const weight of weights) {
    for (const { data } of isFrozen(weight) ? weight.parts.values() : [weight])
      bytes += data.byteLength
  }
  return bytes
}
