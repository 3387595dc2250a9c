// Outputs of `explore` that wait for their reward, in the saved form: module and session in the
// state, the values as tensors. A state without any is written as before.

import { FormatError } from '../../base/errors.ts'
import type { MicroLoraConfig } from '../options.ts'

/** An output of `explore` that waits for its reward. */
export interface Emission {
  readonly module: string
  readonly session: string
  readonly values: Float32Array
}

/** Where an output belongs; its values are the tensor `emitted.<index>`. */
export type SavedEmission = Pick<Emission, 'module' | 'session'>

const toTensorName = (index: number): string => `emitted.${index}`

/** The places of the outputs, the oldest first, and their tensors. */
export const captureEmissions = (
  emissions: readonly Emission[],
): {
  readonly places: readonly SavedEmission[]
  readonly tensors: readonly (readonly [string, Float32Array])[]
} => ({
  places: emissions.map(({ module, session }) => ({ module, session })),
  tensors: emissions.map(({ values }, i) => [toTensorName(i), values.slice()]),
})

/** The outputs of a state that was checked. */
export const restoreEmissions = (
  places: readonly SavedEmission[],
  tensors: ReadonlyMap<string, Float32Array>,
): Emission[] =>
  places.map(({ module, session }, i) => ({
    module,
    session,
    values: tensors.get(toTensorName(i))!.slice(),
  }))

/** Names and sizes of the tensors that the places need. */
export const listEmissionSizes = (
  places: readonly SavedEmission[],
  { modules }: MicroLoraConfig,
): (readonly [name: string, size: number])[] =>
  places.map(({ module }, i) => [toTensorName(i), modules[module]!.outFeatures])

/** Throws FormatError for what is not a list of places in these modules. */
export function readEmissions(
  value: unknown,
  { modules }: MicroLoraConfig,
  where: string,
): readonly SavedEmission[] {
  if (value === undefined) return []
  const isPlace = (item: unknown): item is SavedEmission => {
    const { module, session } = (item ?? {}) as Partial<SavedEmission>
    return (
      typeof module === 'string' && typeof session === 'string' && Object.hasOwn(modules, module)
    )
  }
  if (!Array.isArray(value) || !value.every(isPlace))
    throw new FormatError(`${where}: emissions: expected a list of { module, session }.`)
  return value.map(({ module, session }) => ({ module, session }))
}
