// Operations on the chunks of a recurrence: decays between their tokens, and the inverse of a
// triangular matrix.

import { i64, type Tensor } from '../../../base/tensor.ts'
import type { Value } from '../../ir.ts'
import type { OnnxEmitter, Operation } from '../../operation.ts'
import { asFloats, createZerosLike, getFlagAttribute } from '../arrays.ts'

/** Counts of starts [N, 1, C, L] for head h of row n, or zeros. */
const readCount = (starts: Tensor | undefined, heads: number, row: number, at: number): number =>
  starts ? (starts.data as Float32Array)[Math.floor(row / heads) * getRowSize(starts) + at]! : 0

const getRowSize = ({ shape }: Tensor): number => shape[2]! * shape[3]!

/** Calls `visit` for each chunk, with the place of its first token and that of its count. */
function visitChunks(
  sums: Tensor,
  visit: (chunk: number, start: number, row: number, at: number) => void,
): void {
  const [rows, heads, chunks, length] = sums.shape as [number, number, number, number]
  for (let chunk = 0; chunk < rows * heads * chunks; chunk++) {
    const row = Math.floor(chunk / chunks)
    visit(chunk, chunk * length, row, (chunk % chunks) * length)
  }
}

/**
 * exp(sums_i − sums_j) for j ≤ i of one sequence, else 0: the decay from token j to token i of a
 * chunk. sums, which fall along L: [N, H, C, L], starts (where there are any): [N, 1, C, L] → [N,
 * H, C, L, L].
 */
export const pairDecay: Operation = {
  name: 'pairDecay',
  shape: ([sums]) => ({ dtype: sums!.dtype, shape: [...sums!.shape, sums!.shape.at(-1)!] }),
  evaluate([sums, starts]) {
    const length = sums!.shape[3]!
    const heads = sums!.shape[1]!
    const output = createZerosLike(sums!, [...sums!.shape, length])
    const values = asFloats(sums!)
    visitChunks(sums!, (chunk, start, row, at) => {
      for (let i = 0; i < length; i++)
        for (let j = 0; j <= i; j++)
          if (readCount(starts, heads, row, at + i) === readCount(starts, heads, row, at + j))
            output.data[(chunk * length + i) * length + j] = Math.exp(
              values[start + i]! - values[start + j]!,
            )
    })
    return output
  },
  gradient(g, { inputs: [sums], output, upstream }) {
    const flow = g.multiply(upstream, output)
    const axes = sums!.shape.length
    return [g.subtract(g.reduceSum(flow, [axes]), g.reduceSum(flow, [axes - 1])), undefined]
  },
  onnx(emit, { inputs: [sums, starts], output }) {
    const rows = emit.ints([4])
    const columns = emit.ints([3])
    const compare = (type: string, x: Value): string =>
      emit.node(type, [
        emit.node('Unsqueeze', [x.name, rows]),
        emit.node('Unsqueeze', [x.name, columns]),
      ])
    // Above the diagonal the difference may be large: it is cut, and set to 0 afterwards.
    const steps = emit.node('Min', [compare('Sub', sums!), emit.float(0)])
    const decays = emit.node('Exp', [steps])
    const masked = starts
      ? emit.node('Mul', [
          decays,
          emit.node('Cast', [compare('Equal', starts)], { to: { int: 1 } }),
        ])
      : decays
    emit.node('Trilu', [masked], { upper: { int: 0 } }, output.name)
  },
}

/** exp(sums) where no sequence has begun in the chunk, else 0: the decay from before the chunk. */
export const startDecay: Operation = {
  name: 'startDecay',
  shape: ([sums]) => ({ dtype: sums!.dtype, shape: sums!.shape }),
  evaluate([sums, starts]) {
    const [, heads, , length] = sums!.shape as [number, number, number, number]
    const output = createZerosLike(sums!, sums!.shape)
    const values = asFloats(sums!)
    visitChunks(sums!, (_, start, row, at) => {
      for (let i = 0; i < length; i++)
        if (readCount(starts, heads, row, at + i) === 0)
          output.data[start + i] = Math.exp(values[start + i]!)
    })
    return output
  },
  gradient: (g, { output, upstream }) => [g.multiply(upstream, output), undefined],
  onnx(emit, { inputs: [sums, starts], output }) {
    if (!starts) return void emit.node('Exp', [sums!.name], {}, output.name)
    const isOpen = emit.node('Equal', [starts.name, emit.float(0)])
    const mask = emit.node('Cast', [isOpen], { to: { int: 1 } })
    emit.node('Mul', [emit.node('Exp', [sums!.name]), mask], {}, output.name)
  },
}

/** The part of [.., L, L] below the diagonal; `diagonal` with it. */
export const lowerPart: Operation = {
  name: 'lowerPart',
  shape: ([x]) => ({ dtype: x!.dtype, shape: x!.shape }),
  evaluate([x], attributes) {
    const length = x!.shape.at(-1)!
    const reach = getFlagAttribute(attributes, 'diagonal') ? 0 : -1
    const output = createZerosLike(x!, x!.shape)
    asFloats(x!).forEach((value, flat) => {
      const row = Math.floor(flat / length) % length
      if ((flat % length) - row <= reach) output.data[flat] = value
    })
    return output
  },
  gradient: (g, { attributes, upstream }) => [g.op('lowerPart', [upstream], attributes)],
  onnx(emit, { inputs: [x], output, attributes }) {
    emitLower(emit, x!.name, getFlagAttribute(attributes, 'diagonal') ? 0 : -1, output.name)
  },
}

const emitLower = (emit: OnnxEmitter, x: string, reach: number, output?: string): string =>
  emit.node(
    'Trilu',
    [x, emit.constant(`%k${reach}`, () => i64([], [reach]))],
    { upper: { int: 0 } },
    output,
  )

/** (I + the part of x below the diagonal)⁻¹ of matrices [.., L, L], L a power of two. */
export const invertUnitLower: Operation = {
  name: 'invertUnitLower',
  shape: ([x]) => ({ dtype: x!.dtype, shape: x!.shape }),
  evaluate([x]) {
    const length = x!.shape.at(-1)!
    const output = createZerosLike(x!, x!.shape)
    const values = asFloats(x!)
    for (let start = 0; start < values.length; start += length * length)
      for (let column = 0; column < length; column++)
        for (let i = column; i < length; i++) {
          let sum = i === column ? 1 : 0
          for (let j = column; j < i; j++)
            sum -= values[start + i * length + j]! * output.data[start + j * length + column]!
          output.data[start + i * length + column] = sum
        }
    return output
  },
  // Y = (I + X)⁻¹: dX = −Yᵀ·dY·Yᵀ, below the diagonal
  gradient(g, { output, upstream }) {
    const left = g.matmul(output, upstream, { transA: true, alpha: -1 })
    return [g.op('lowerPart', [g.matmul(left, output, { transB: true })], { diagonal: false })]
  },
  onnx(emit, { inputs: [x], output }) {
    const length = x!.shape.at(-1) as number
    // Blocks of 1, 2, 4 …: the inverse of [A 0; C B] is [A⁻¹ 0; −B⁻¹·C·A⁻¹ B⁻¹].
    let inverse = emit.constant(`%eye${length}`, () => createBlockMask(length, 0))
    for (let size = 1; size < length; size *= 2) {
      const mask = emit.constant(`%blocks${length}_${size}`, () => createBlockMask(length, size))
      const below = emit.node('Mul', [x!.name, mask])
      const product = emit.node('MatMul', [emit.node('MatMul', [inverse, below]), inverse])
      const isLast = 2 * size === length
      inverse = emit.node('Sub', [inverse, product], {}, isLast ? output.name : undefined)
    }
  },
}

/** 1 in the lower left quarter of each block of 2·size on the diagonal; size 0: the unit matrix. */
function createBlockMask(length: number, size: number): Tensor<Float32Array> {
  const data = new Float32Array(length * length)
  for (let i = 0; i < length; i++)
    for (let j = 0; j < length; j++) {
      const isBelow =
        Math.floor(i / size) === Math.floor(j / size) + 1 && Math.floor(j / size) % 2 === 0
      if (size === 0 ? i === j : isBelow) data[i * length + j] = 1
    }
  return { dtype: 'f32', shape: [length, length], data }
}
