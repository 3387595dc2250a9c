// A MicroLoRA as a user's state, and back: tensors that checkpoints can store in 8 or 4 bits,
// settings and counts as the header.

import { FormatError } from '../../base/errors.ts'
import { f32 } from '../../base/tensor.ts'
import { fromJson, toJson } from '../../micro/files/json.ts'
import { MicroLora } from '../../micro/micro-lora.ts'
import type { SavedMeta } from '../../micro/files/saved-meta.ts'
import { toFloat32 } from '../../formats/convert.ts'
import type { JsonValue, UserState } from './user-state.ts'

/**
 * Means of squares stay f32, because one that is rounded to zero makes the next step huge, or removes
 * EWC's protection. Outputs that wait for their reward stay f32 too, because their difference from
 * the module's output is what is learned.
 */
const isExact = (name: string): boolean =>
  /\.(secondMomentum|importance)$|^emitted\.\d+$/.test(name)

/** A copy of the whole adapter; each slot of each module as one row of numbers. */
export function encodeMicroLora(lora: MicroLora): UserState {
  const json = lora.toJSON()
  const { tensors } = fromJson(json)
  return {
    tensors: new Map([...tensors].map(([name, values]) => [name, f32([1, values.length], values)])),
    header: { microLora: JSON.parse(JSON.stringify(json.state)) as JsonValue },
    exact: [...tensors.keys()].filter(isExact),
  }
}

/**
 * The adapter of such a state. Throws FormatError for a state of something else, and what
 * `MicroLora.fromJSON` throws.
 */
export function decodeMicroLora(
  { tensors, header }: UserState,
  options: Parameters<typeof MicroLora.fromJSON>[1] = {},
): MicroLora {
  const meta = header['microLora']
  if (typeof meta !== 'object' || meta === null)
    throw new FormatError('This state is not a MicroLoRA: its header has no `microLora`.')
  const values = new Map([...tensors].map(([name, tensor]) => [name, toFloat32(tensor)]))
  return MicroLora.fromJSON(
    toJson({ meta: meta as unknown as SavedMeta, tensors: values }),
    options,
  )
}
