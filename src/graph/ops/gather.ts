// Picking rows by number, and the gradients that put them back.

import type { Value } from '../ir.ts'
import type { Operation } from '../operation.ts'
import { createZerosLike, checkRank, asFloats, toIntegers } from './arrays.ts'

const widthOf = (x: Value): Value['shape'][number] => x.shape[x.shape.length - 1]!

/** Rows of a table: table [V, D], ids i64 [..] → [.., D]. */
export const embedding: Operation = {
  name: 'embedding',
  shape([table, ids]) {
    checkRank('embedding', table!, 2)
    return { dtype: table!.dtype, shape: [...ids!.shape, table!.shape[1]!] }
  },
  evaluate([table, ids]) {
    const width = table!.shape[1]!
    const output = createZerosLike(table!, [...ids!.shape, width])
    const rows = asFloats(table!)
    toIntegers(ids!).forEach((id, i) =>
      output.data.set(rows.subarray(id * width, (id + 1) * width), i * width),
    )
    return output
  },
  gradient: (g, { inputs: [table, ids], upstream }) => [
    g.op('scatterRows', [upstream, ids!, table!]),
    undefined,
  ],
  onnx(emit, { inputs: [table, ids], output }) {
    emit.node('Gather', [table!.name, ids!.name], { axis: { int: 0 } }, output.name)
  },
}

/**
 * Rows of a batch of sequences by index into N·T: x [N, T, D], rows i64 [M] → [M, D]. `rows` may
 * have any shape, which precedes D in the output.
 */
export const gatherRows: Operation = {
  name: 'gatherRows',
  shape: ([x, rows]) => ({ dtype: x!.dtype, shape: [...rows!.shape, widthOf(x!)] }),
  evaluate([x, rows]) {
    const width = x!.shape[x!.shape.length - 1]!
    const output = createZerosLike(x!, [...rows!.shape, width])
    const values = asFloats(x!)
    toIntegers(rows!).forEach((row, i) =>
      output.data.set(values.subarray(row * width, (row + 1) * width), i * width),
    )
    return output
  },
  gradient: (g, { inputs: [x, rows], upstream }) => [
    g.op('scatterRows', [upstream, rows!, x!]),
    undefined,
  ],
  onnx(emit, { inputs: [x, rows], output }) {
    const flat =
      x!.shape.length === 2
        ? x!.name
        : emit.node('Reshape', [x!.name, emit.ints([-1, widthOf(x!) as number])])
    emit.node('Gather', [flat, rows!.name], { axis: { int: 0 } }, output.name)
  },
}

/**
 * Zeros shaped as `like`, with each update row added at its row number: updates [.., D], rows i64
 * [..].
 */
export const scatterRows: Operation = {
  name: 'scatterRows',
  shape: ([updates, , like]) => ({ dtype: updates!.dtype, shape: like!.shape }),
  evaluate([updates, rows, like]) {
    const width = updates!.shape[updates!.shape.length - 1]!
    const output = createZerosLike(updates!, like!.shape)
    const values = asFloats(updates!)
    toIntegers(rows!).forEach((row, i) => {
      for (let c = 0; c < width; c++) output.data[row * width + c]! += values[i * width + c]!
    })
    return output
  },
  onnx(emit, { inputs: [updates, rows, like], output }) {
    const width = widthOf(updates!) as number
    const zeros = emit.node('Reshape', [
      emit.node('Mul', [like!.name, emit.float(0)]),
      emit.ints([-1, width]),
    ])
    const indices = emit.node('Reshape', [rows!.name, emit.ints([-1, 1])])
    const flat = emit.node('Reshape', [updates!.name, emit.ints([-1, width])])
    const filled = emit.node('ScatterND', [zeros, indices, flat], { reduction: { string: 'add' } })
    emit.node('Reshape', [filled, emit.node('Shape', [like!.name])], {}, output.name)
  },
}
