// The saved state of one user: named tensors (weights, momentum, Fisher information, memory) and a
// header of plain values (statistics, settings). Independent of their meaning and of stores.

import { type Mismatch, MismatchError, NumericError, OptionError } from '../../base/errors.ts'
import { isAllFinite } from '../../base/finite.ts'
import type { Tensor } from '../../base/tensor.ts'
import { joinProblems, quoteName } from '../../formats/quote.ts'

export type JsonValue =
  null | boolean | number | string | readonly JsonValue[] | { readonly [key: string]: JsonValue }

export interface UserState {
  /** The owner may change them in place; a checkpoint copies them at one moment. */
  readonly tensors: ReadonlyMap<string, Tensor>
  readonly header: Readonly<Record<string, JsonValue>>
  /**
   * Names of f32 matrices that stay f32 in every form. Second moments belong here, because one that
   * is rounded to zero makes the next step huge.
   */
  readonly exact?: readonly string[]
}

/** Bytes of a state in memory, the header as its JSON. */
export function estimateStateBytes({ tensors, header }: UserState): number {
  let sum = JSON.stringify(header).length
  for (const [name, { data }] of tensors) sum += name.length + data.byteLength
  return sum
}

/**
 * Throws NumericError that names every tensor with NaN or infinity, OptionError for a header that
 * JSON cannot represent.
 */
export function checkState({ tensors, header }: UserState): void {
  const bad = [...tensors].filter(
    ([, { dtype, data }]) => dtype === 'f32' && !isAllFinite(data as Float32Array),
  )
  if (bad.length > 0)
    throw new NumericError(
      `A user's state contains NaN or infinity and cannot be saved:\n${joinProblems(bad.map(([name]) => quoteName(name)))}`,
    )
  const problem = findJsonProblem(header, 'header')
  if (problem !== undefined) throw new OptionError(`A user's state cannot be saved: ${problem}.`)
}

/** JSON.stringify would write NaN as null and drop undefined values. */
function findJsonProblem(value: unknown, path: string): string | undefined {
  if (value === null || typeof value === 'boolean' || typeof value === 'string') return undefined
  if (typeof value === 'number') return Number.isFinite(value) ? undefined : `${path} is ${value}`
  const isPlain =
    Array.isArray(value) ||
    (typeof value === 'object' && [Object.prototype, null].includes(Object.getPrototypeOf(value)))
  if (!isPlain) return `${path} is ${typeof value}, expected a plain value`
  for (const [key, inner] of Object.entries(value as object)) {
    const fault = findJsonProblem(inner, `${path}.${key}`)
    if (fault !== undefined) return fault
  }
  return undefined
}

/** Shapes that a state must have, by tensor name; further tensors are allowed. */
export type StateShapes = ReadonlyMap<string, readonly number[]>

/** Throws MismatchError with every shape that differs from the expected one. */
export function checkShapes(
  what: string,
  tensors: ReadonlyMap<string, Pick<Tensor, 'shape'>>,
  wanted: StateShapes,
): void {
  const shown = (shape: readonly number[] | undefined): string =>
    shape ? `[${shape.join(', ')}]` : 'nothing'
  const mismatches: Mismatch[] = [...wanted]
    .map(([name, shape]) => ({
      name,
      got: shown(tensors.get(name)?.shape),
      expected: shown(shape),
    }))
    .filter(({ got, expected }) => got !== expected)
  if (mismatches.length > 0) throw new MismatchError(`${what} has other shapes`, mismatches)
}
