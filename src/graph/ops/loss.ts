// Cross-entropy of next-token prediction, row by row, over the whole vocabulary.

import type { Operation } from '../operation.ts'
import { createZerosLike, checkRank, asFloats, toIntegers, computeSoftmaxScale } from './arrays.ts'

/**
 * loss_m = log Σ_v exp(logits[m, v]) − logits[m, label_m]. logits: [M, V], labels: i64 [M] → [M].
 */
export const crossEntropy: Operation = {
  name: 'crossEntropy',
  shape([logits, labels]) {
    checkRank('crossEntropy', logits!, 2)
    return { dtype: logits!.dtype, shape: [labels!.shape[0]!] }
  },
  evaluate([logits, labels]) {
    const width = logits!.shape[1]!
    const output = createZerosLike(logits!, [logits!.shape[0]!])
    toIntegers(labels!).forEach((label, row) => {
      const scores = asFloats(logits!).subarray(row * width, (row + 1) * width)
      const { top, total } = computeSoftmaxScale(scores)
      output.data[row] = top + Math.log(total) - scores[label]!
    })
    return output
  },
  gradient: (g, { inputs: [logits, labels], upstream }) => [
    g.op('crossEntropyGradient', [logits!, labels!, upstream]),
    undefined,
  ],
  onnx(emit, { inputs: [logits, labels], output }) {
    // log Σ exp(x) = max x − log(max softmax(x)): stable, a third of ReduceLogSumExp's time, and
    // the gradient shares the softmax.
    const shares = emit.node('Softmax', [logits!.name], { axis: { int: -1 } })
    const top = (x: string): string =>
      emit.node('ReduceMax', [x, emit.ints([1])], { keepdims: { int: 0 } })
    const total = emit.node('Sub', [top(logits!.name), emit.node('Log', [top(shares)])])
    const column = emit.node('Unsqueeze', [labels!.name, emit.ints([1])])
    const chosen = emit.node('Squeeze', [
      emit.node('GatherElements', [logits!.name, column], { axis: { int: 1 } }),
      emit.ints([1]),
    ])
    emit.node('Sub', [total, chosen], {}, output.name)
  },
}

/** (softmax(logits) − one-hot(label)) · upstream, row by row. */
export const crossEntropyGradient: Operation = {
  name: 'crossEntropyGradient',
  shape: ([logits]) => ({ dtype: logits!.dtype, shape: logits!.shape }),
  evaluate([logits, labels, upstream]) {
    const width = logits!.shape[1]!
    const output = createZerosLike(logits!, logits!.shape)
    toIntegers(labels!).forEach((label, row) => {
      const scores = asFloats(logits!).subarray(row * width, (row + 1) * width)
      const { top, total } = computeSoftmaxScale(scores)
      const arriving = asFloats(upstream!)[row]!
      scores.forEach(
        (value, v) =>
          (output.data[row * width + v] =
            (Math.exp(value - top) / total - (v === label ? 1 : 0)) * arriving),
      )
    })
    return output
  },
  onnx(emit, { inputs: [logits, labels, upstream], output }) {
    const column = emit.node('Unsqueeze', [labels!.name, emit.ints([1])])
    const arriving = emit.node('Unsqueeze', [upstream!.name, emit.ints([1])])
    const shares = emit.node('Mul', [
      emit.node('Softmax', [logits!.name], { axis: { int: -1 } }),
      arriving,
    ])
    emit.node(
      'ScatterElements',
      [shares, column, emit.node('Neg', [arriving])],
      { axis: { int: 1 }, reduction: { string: 'add' } },
      output.name,
    )
  },
}
