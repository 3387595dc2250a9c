// Virtual tokens: positions of a row that have a learned vector instead of a token. The i-th has
// the id −1 − i; token ids count from 0.

import { i64 } from '../../base/tensor.ts'
import type { Operation } from '../operation.ts'
import { createZerosLike, checkRank, asFloats, toIntegers } from './arrays.ts'

/**
 * The ids, with virtual tokens replaced by 0, so that a table can be read with them. i64 [..] → i64
 * [..].
 */
export const knownIds: Operation = {
  name: 'knownIds',
  shape: ([ids]) => ({ dtype: 'i64', shape: ids!.shape }),
  evaluate: ([ids]) =>
    i64(
      ids!.shape,
      [...toIntegers(ids!)].map((id) => Math.max(id, 0)),
    ),
  onnx(emit, { inputs: [ids], output }) {
    emit.node('Max', [ids!.name, emit.ints([0])], {}, output.name)
  },
}

/**
 * Numbers of the virtual tokens, −1 − id, and 0 in the place of all others. i64 [..] → i64 [..].
 */
export const virtualRows: Operation = {
  name: 'virtualRows',
  shape: ([ids]) => ({ dtype: 'i64', shape: ids!.shape }),
  evaluate: ([ids]) =>
    i64(
      ids!.shape,
      [...toIntegers(ids!)].map((id) => Math.max(-1 - id, 0)),
    ),
  onnx(emit, { inputs: [ids], output }) {
    emit.node(
      'Max',
      [emit.node('Sub', [emit.ints([-1]), ids!.name]), emit.ints([0])],
      {},
      output.name,
    )
  },
}

/**
 * x at real tokens, rows[−1 − id] at virtual ones. x: [N, T, D], rows: [P, D], ids: i64 [N, T] →
 * [N, T, D].
 */
export const replaceVirtual: Operation = {
  name: 'replaceVirtual',
  shape([x, rows]) {
    checkRank('replaceVirtual', rows!, 2)
    return { dtype: x!.dtype, shape: x!.shape }
  },
  evaluate([x, rows, ids]) {
    const width = rows!.shape[1]!
    const output = createZerosLike(x!, x!.shape)
    output.data.set(asFloats(x!))
    toIntegers(ids!).forEach((id, t) => {
      if (id < 0)
        output.data.set(asFloats(rows!).subarray((-1 - id) * width, -id * width), t * width)
    })
    return output
  },
  gradient(g, { inputs: [, rows, ids], upstream, needs }) {
    const ofTokens = g.op('replaceVirtual', [upstream, g.scale(rows!, 0), ids!])
    // Only virtual positions remain; all others are zero and are added to the first row.
    const ofRows = needs(1)
      ? g.op('scatterRows', [g.subtract(upstream, ofTokens), g.op('virtualRows', [ids!]), rows!])
      : undefined
    return [ofTokens, ofRows, undefined]
  },
  onnx(emit, { inputs: [x, rows, ids], output }) {
    const row = emit.node('Max', [emit.node('Sub', [emit.ints([-1]), ids!.name]), emit.ints([0])])
    const isVirtual = emit.node('Unsqueeze', [
      emit.node('Less', [ids!.name, emit.ints([0])]),
      emit.ints([-1]),
    ])
    emit.node(
      'Where',
      [isVirtual, emit.node('Gather', [rows!.name, row], { axis: { int: 0 } }), x!.name],
      {},
      output.name,
    )
  },
}
