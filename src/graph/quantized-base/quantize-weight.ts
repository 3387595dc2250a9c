// Quantises a base weight for training an adapter on it, and dequantises it to f32 (QLoRA,
// arXiv:2305.14314).

import { type F32Tensor, f32, sizeOf, type Tensor } from '../../base/tensor.ts'
import type { FrozenShape } from './frozen-form.ts'
import { formChoices, getFrozenForm, type Quantization } from './frozen-form-table.ts'

/** A base weight that is kept quantised. */
export interface FrozenWeight {
  readonly form: string
  readonly shape: FrozenShape
  /** By the form's names of its parts. */
  readonly parts: ReadonlyMap<string, Tensor>
}

/** A base weight in the form in which training feeds it. */
export type BaseWeight = F32Tensor | FrozenWeight

export const isFrozen = (weight: BaseWeight): weight is FrozenWeight => 'form' in weight

/** Quantises a weight; vectors, and matrices whose rows are not whole blocks, are not quantised. */
export function freeze(
  tensor: F32Tensor,
  quantization: Quantization,
  inLayer: boolean,
): BaseWeight {
  const form = formChoices[quantization](inLayer)
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

/** Bytes of a weight of this shape once it is frozen: known before it is read. */
export function countFrozenBytes(
  shape: readonly number[],
  quantization: Quantization,
  inLayer: boolean,
): number {
  const form = formChoices[quantization](inLayer)
  const [rows, columns] = shape
  if (shape.length !== 2 || !form.fits([rows!, columns!])) return 4 * sizeOf(shape)
  const widths = { f32: 4, u8: 1, i8: 1 } as const
  return form
    .parts([rows!, columns!])
    .reduce((sum, part) => sum + widths[part.dtype] * sizeOf(part.shape), 0)
}

/** The weight in f32; for a frozen one, a new tensor with the dequantised values. */
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
