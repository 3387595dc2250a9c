// Rotary position embedding (Su et al. 2021) in the half-split order of Hugging Face checkpoints.

import { ShapeError } from '../../base/errors.ts'
import { getLastDim } from '../ir.ts'
import type { OnnxEmitter, Operation } from '../operation.ts'
import {
  createZerosLike,
  getFlagAttribute,
  asFloats,
  toIntegers,
  getNumberAttribute,
} from './arrays.ts'

/**
 * Rotates each pair (x_i, x_{i+r/2}) of every head's first r values by the angle of its position;
 * the rest is unchanged. x: [N, T, heads·d], cos and sin: [positions, r/2], positions: i64 [N, T].
 * `inverse` rotates in the other direction, which is the gradient.
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
    // 0: the whole head is rotated
    const partial = turned === (getLastDim(x!) as number) / heads ? 0 : turned
    const sine = getFlagAttribute(attributes, 'inverse') ? emit.node('Neg', [sin!.name]) : sin!.name
    const names = [x!.name, positions!.name, cos!.name, sine] as const
    if (!emit.has('RotaryEmbedding'))
      return emitTurns(emit, names, output.name, { heads, width: getLastDim(x!) as number, turned })
    const form = { num_heads: { int: heads }, rotary_embedding_dim: { int: partial } }
    emit.microsoft('RotaryEmbedding', names, form, output.name)
  },
}

/** The same in plain operators. */
function emitTurns(
  emit: OnnxEmitter,
  [x, positions, cos, sin]: readonly [string, string, string, string],
  output: string,
  { heads, width, turned }: { heads: number; width: number; turned: number },
): void {
  const head = width / heads
  const take = (table: string): string => {
    const rows = emit.node('Gather', [table, positions], { axis: { int: 0 } })
    return emit.node('Unsqueeze', [rows, emit.ints([2])]) // [N, T, 1, r/2]
  }
  const cosines = take(cos)
  const sines = take(sin)
  const parts = [emit.fresh(), emit.fresh(), ...(turned < head ? [emit.fresh()] : [])]
  const lengths = [turned / 2, turned / 2, ...(turned < head ? [head - turned] : [])]
  const split = emit.node('Reshape', [x, emit.ints([0, 0, heads, head])])
  emit.nodeWithOutputs('Split', '', [split, emit.ints(lengths)], { axis: { int: 3 } }, parts)
  const [first, second, ...rest] = parts as [string, string, ...string[]]
  const mix = (type: 'Add' | 'Sub', along: string, across: string): string =>
    emit.node(type, [emit.node('Mul', [along, cosines]), emit.node('Mul', [across, sines])])
  const turns = [mix('Sub', first, second), mix('Add', second, first), ...rest]
  const joined = emit.node('Concat', turns, { axis: { int: 3 } })
  emit.node('Reshape', [joined, emit.ints([0, 0, width])], {}, output)
}
