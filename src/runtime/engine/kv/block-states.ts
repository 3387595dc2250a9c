// A block stores keys and values of 16 positions, followed by the states of the model after its
// last position: 32-bit floats, whatever the element. Independent of rows.

import { areKnownBetween, countStateNumbers } from '../../programs/row-states.ts'
import type { KvShape } from './kv-types.ts'
import { countBlockElements } from './row-arrays.ts'
import { countElementBytes, elementOf, type KvElement, type KvValues } from './values.ts'

/** How many values of states a block stores: none if the states after a block are not known. */
const countBlockStates = ({ states }: KvShape): number =>
  areKnownBetween(states) ? countStateNumbers(states) : 0

/** Elements of a block with its states. */
export const computeBlockLength = (shape: KvShape, element: KvElement): number =>
  countBlockElements(shape, element) +
  (countBlockStates(shape) * Float32Array.BYTES_PER_ELEMENT) / countElementBytes(element)

/** The states in a block: a view. */
export function viewBlockStates(shape: KvShape, block: KvValues): Float32Array {
  const start =
    block.byteOffset + countBlockElements(shape, elementOf(block)) * block.BYTES_PER_ELEMENT
  return new Float32Array(block.buffer, start, countBlockStates(shape))
}
