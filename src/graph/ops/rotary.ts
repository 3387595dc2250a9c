// Rotary position embedding (Su et al. 2021) in the half-split order of Hugging Face checkpoints.

import { ShapeError } from '../../base/errors.ts'
import { getLastDim } from '../ir.ts'
import type { Operation } from '../operation.ts'
import {
  createZerosLike,
  getFlagAttribute,
  asFloats,
  toIntegers,
  getNumberAttribute,
} from './arrays.ts'

/**
 * Turns each pair (x_i, x_{i+r/2}) of every head's first r numbers by the angle of its position;
 * the rest passes unchanged. x: [N, T, heads·d], cos and sin: [positions, r/2], positions: i64 [N,
 * T]. `inverse` turns back, which is the gradient.
 */
export const rotary: Operation = {
  name: 'rotary',
  shape([x, cos], attributes) {
    const heads = getNumberAttribute(attributes, 'heads')
    const half = getLastDim(cos!)
    const width = getLastDim(x!)
    if (
      typeof width !== 'number' ||
      typeof half !== 'number' ||
      width % heads !== 0 ||
      2 * half > width / heads
    ) {
      throw new ShapeError(
        `rotary: width ${width} with ${heads} heads does not take ${half} angles.`,
      )
    }
    return { dtype: x!.dtype, shape: x!.shape }
  },
  evaluate([x, cos, sin, positions], attributes) {
    const heads = getNumberAttribute(attributes, 'heads')
    const width = x!.shape[x!.shape.length - 1]! / heads
    const half = cos!.shape[1]!
    const output = createZerosLike(x!, x!.shape)
    const values = asFloats(x!)
    const cosines = asFloats(cos!)
    const sines = asFloats(sin!)
    const sign = getFlagAttribute(attributes, 'inverse') ? -1 : 1
    output.data.set(values)
    toIntegers(positions!).forEach((position, row) => {
      for (let head = 0; head < heads; head++) {
        const start = (row * heads + head) * width
        for (let i = 0; i < half; i++) {
          const c = cosines[position * half + i]!
          const s = sign * sines[position * half + i]!
          const first = values[start + i]!
          const second = values[start + half + i]!
          output.data[start + i] = first * c - second * s
          output.data[start + half + i] = second * c + first * s
        }
      }
    })
    return output
  },
  gradient(g, { inputs: [, cos, sin, positions], attributes, upstream }) {
    const inverse = !getFlagAttribute(attributes, 'inverse')
    return [
      g.op('rotary', [upstream, cos!, sin!, positions!], { ...attributes, inverse }),
      undefined,
      undefined,
      undefined,
    ]
  },
  onnx(emit, { inputs: [x, cos, sin, positions], output, attributes }) {
    const heads = getNumberAttribute(attributes, 'heads')
    const turned = (cos!.shape[1] as number) * 2
    // 0: the whole head turns
    const partial = turned === (getLastDim(x!) as number) / heads ? 0 : turned
    const sine = getFlagAttribute(attributes, 'inverse') ? emit.node('Neg', [sin!.name]) : sin!.name
    emit.microsoft(
      'RotaryEmbedding',
      [x!.name, positions!.name, cos!.name, sine],
      { num_heads: { int: heads }, rotary_embedding_dim: { int: partial } },
      output.name,
    )
  },
}
