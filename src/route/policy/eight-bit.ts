// Tensors by name in a router's file: matrices in 8 bits with a scale for each row, vectors in f32.

import { FormatError } from '../../base/errors.ts'
import { describeValue, isRecord } from '../../base/schema.ts'
import { f32, sizeOf, type F32Tensor } from '../../base/tensor.ts'
import {
  type NumberArray,
  readNumbers,
  writeBytes,
  writeNumbers,
} from '../features/number-array.ts'
import type { PolicyWeights } from './policy-weights.ts'

type Shapes = ReadonlyMap<string, readonly number[]>

function saveTensor({ shape, data }: F32Tensor, exact: boolean): NumberArray {
  const [rows, columns] = shape as readonly [number, number?]
  return exact || columns === undefined
    ? writeNumbers(data, shape)
    : writeBytes(data, [rows, columns])
}

/** Matrices in 8 bits and vectors in f32; everything in f32 where `exact`. */
export const saveTensors = (
  tensors: PolicyWeights,
  exact = false,
): Readonly<Record<string, NumberArray>> =>
  Object.fromEntries([...tensors].map(([name, tensor]) => [name, saveTensor(tensor, exact)]))

/** Bytes of the tensors in a file, before base64. */
export const countSavedBytes = (tensors: PolicyWeights): number =>
  [...tensors.values()].reduce(
    (sum, { shape }) =>
      sum + (shape.length < 2 ? 4 * sizeOf(shape) : sizeOf(shape) + 4 * shape[0]!),
    0,
  )

/** Throws FormatError that lists what is missing, unknown, of another shape, or not finite. */
export function readTensors(what: string, saved: unknown, shapes: Shapes): Map<string, F32Tensor> {
  if (!isRecord(saved))
    throw new FormatError(`${what}: got ${describeValue(saved)}, expected tensors by name.`)
  const problems = Object.keys(saved)
    .filter((name) => !shapes.has(name))
    .map((name) => `${what}.${name}: there is no such tensor.`)
  const tensors = new Map<string, F32Tensor>()
  for (const [name, shape] of shapes) {
    try {
      const read = readNumbers(saved[name], shape.length, `${what}.${name}`)
      if (read.shape.join() === shape.join()) tensors.set(name, f32(shape, read.data))
      else
        problems.push(
          `${what}.${name}: got shape [${read.shape.join(', ')}], expected [${shape.join(', ')}].`,
        )
    } catch (error) {
      if (!(error instanceof FormatError)) throw error
      problems.push(error.message)
    }
  }
  if (problems.length > 0) throw new FormatError(problems.join('\n'))
  return tensors
}

/**
 * The weights as a file gives them back: what a trained policy decides by, before it is saved too.
 */
export const roundToEightBits = (weights: PolicyWeights): Map<string, F32Tensor> =>
  readTensors(
    'weights',
    saveTensors(weights),
    new Map([...weights].map(([name, { shape }]) => [name, shape])),
  )
