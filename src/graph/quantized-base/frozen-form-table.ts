// The table of frozen forms, and the quantisations of a model, which assign a form to each matrix.

import { assertInternal } from '../../base/errors.ts'
import type { FrozenForm } from './frozen-form.ts'
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

export function getFrozenForm(name: string): FrozenForm {
  const form = frozenForms.get(name)
  assertInternal(form, `there is no frozen form "${name}"`)
  return form
}

/** The form of a matrix, by whether it is in a layer. */
export const formChoices: Readonly<Record<Quantization, (inLayer: boolean) => FrozenForm>> = {
  nf4: (inLayer) => (inLayer ? nf4 : int8),
  int8: () => int8,
}
