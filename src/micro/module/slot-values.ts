// A slot's numbers without padding, as in files: A's rows, B's rows, bias.

import { OptionError, ShapeError } from '../../base/errors.ts'
import type { SlotName } from './layout.ts'
import type { ModuleMemory } from './memory.ts'

function visitRows(
  { layout }: ModuleMemory,
  visit: (place: number, at: number, length: number) => void,
): void {
  let at = 0
  for (const { start, rows, length, stride } of layout.parts)
    for (let r = 0; r < rows; r++, at += length) visit(start + r * stride, at, length)
}

/** A copy; zeros where the configuration has no such slot. */
export function readSlot(memory: ModuleMemory, name: SlotName): Float32Array {
  memory.checkAlive()
  const values = new Float32Array(memory.layout.parameterCount)
  const from = memory.slot(name)
  const array = memory.context.heap.array()
  if (from > 0)
    visitRows(memory, (place, at, length) =>
      values.set(array.subarray(from + place, from + place + length), at),
    )
  return values
}

/** Throws ShapeError for another number of values, OptionError if there is no such slot. */
export function writeSlot(memory: ModuleMemory, name: SlotName, values: Float32Array): void {
  memory.checkAlive()
  const { parameterCount } = memory.layout
  if (values.length !== parameterCount)
    throw new ShapeError(
      `${memory.name}: ${name}: got ${values.length} values, expected ${parameterCount}.`,
    )
  const to = memory.slot(name)
  if (to === 0) throw new OptionError(`${memory.name}: has no ${name} with its options.`)
  const array = memory.context.heap.array()
  visitRows(memory, (place, at, length) => array.set(values.subarray(at, at + length), to + place))
}
