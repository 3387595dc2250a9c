// The scan that carries a recurrence's state from chunk to chunk.

import type { Tensor } from '../../../base/tensor.ts'
import type { Value } from '../../ir.ts'
import type { OnnxEmitter, Operation, Operators } from '../../operation.ts'
import { asFloats, createZerosLike, getFlagAttribute } from '../arrays.ts'

/**
 * The states before each chunk: S ← kept·S + change·S + added, from `past` or all zeros. change:
 * [N, H, C, k, k], added: [N, H, C, k, v], kept: [N, H, C, 1, 1], past: [N, H, k, v] → [N, H, C, k,
 * v]. `reverse`: from the last chunk to the first, by the transposed of change.
 */
export const stateScan: Operation = {
  name: 'stateScan',
  shape: ([, added]) => ({ dtype: added!.dtype, shape: added!.shape }),
  evaluate: ([change, added, kept, past], attributes) =>
    computeScan([change!, added!, kept!], past, getFlagAttribute(attributes, 'reverse')),
  gradient(g, context) {
    const [change, , kept] = context.inputs as [Value, Value, Value]
    const { output, upstream } = context
    const arriving = g.op('stateScan', [change, upstream, kept], { reverse: true })
    return [
      g.matmul(arriving, output, { transB: true }),
      arriving,
      sumMatrices(g, g.multiply(arriving, output)),
      undefined,
    ]
  },
  onnx: (emit, { inputs, output, attributes }) =>
    emitScan(
      emit,
      inputs.map(({ name }) => name),
      output.name,
      getFlagAttribute(attributes, 'reverse'),
    ),
}

const sumMatrices = (g: Operators, x: Value): Value => g.reduceSum(x, [3, 4], true)

function computeScan(
  [change, added, kept]: readonly [Tensor, Tensor, Tensor],
  past: Tensor | undefined,
  reverse: boolean,
): Tensor {
  const [rows, heads, chunks, keys, values] = added.shape as [
    number,
    number,
    number,
    number,
    number,
  ]
  const size = keys * values
  const output = createZerosLike(added, added.shape)
  const [matrices, additions, factors] = [change, added, kept].map(asFloats) as Float64Array[]
  for (let row = 0; row < rows * heads; row++) {
    const state = past
      ? Float64Array.from(asFloats(past).subarray(row * size, (row + 1) * size))
      : new Float64Array(size)
    for (let step = 0; step < chunks; step++) {
      const chunk = row * chunks + (reverse ? chunks - 1 - step : step)
      output.data.set(state, chunk * size)
      const before = state.slice()
      for (let i = 0; i < keys; i++)
        for (let j = 0; j < values; j++) {
          let sum =
            factors![chunk]! * before[i * values + j]! + additions![chunk * size + i * values + j]!
          for (let other = 0; other < keys; other++) {
            const at = reverse ? other * keys + i : i * keys + other
            sum += matrices![chunk * keys * keys + at]! * before[other * values + j]!
          }
          state[i * values + j] = sum
        }
    }
  }
  return output
}

/** ONNX's Scan over axis 2; its body sees one chunk. */
function emitScan(
  emit: OnnxEmitter,
  [change, added, kept, past]: readonly string[],
  output: string,
  reverse: boolean,
): void {
  const names = Array.from({ length: 9 }, () => emit.fresh())
  const [carry, matrix, addition, factor, product, scaled, summed, next, before] = names as [
    ...[string, string, string, string, string, string, string, string, string],
  ]
  const node = (type: string, inputs: readonly string[], name: string, more = {}, domain = '') => ({
    type,
    domain,
    inputs,
    outputs: [name],
    attributes: more,
  })
  const turned = emit.fresh()
  const fused = reverse && emit.has('FusedMatMul')
  const plain = [
    ...(reverse ? [node('Transpose', [matrix], turned, { perm: { ints: [0, 1, 3, 2] } })] : []),
    node('MatMul', [reverse ? turned : matrix, carry], product),
  ]
  const body = {
    inputs: [carry, matrix, addition, factor].map((name) => ({ name, dtype: 'f32' as const })),
    nodes: [
      ...(fused
        ? [node('FusedMatMul', [matrix, carry], product, { transA: { int: 1 } }, 'com.microsoft')]
        : plain),
      node('Mul', [carry, factor], scaled),
      node('Add', [product, scaled], summed),
      node('Add', [summed, addition], next),
      node('Identity', [carry], before),
    ],
    initializers: new Map(),
    outputs: [next, before].map((name) => ({ name, dtype: 'f32' as const })),
  }
  const direction = reverse ? 1 : 0
  emit.nodeWithOutputs(
    'Scan',
    '',
    [past ?? emitZeros(emit, added!), change!, added!, kept!],
    {
      body: { graph: body },
      num_scan_inputs: { int: 3 },
      scan_input_axes: { ints: [2, 2, 2] },
      scan_output_axes: { ints: [2] },
      scan_input_directions: { ints: [direction, direction, direction] },
      scan_output_directions: { ints: [direction] },
    },
    [emit.fresh(), output],
  )
}

/** Zeros [N, H, k, v] for additions [N, H, C, k, v]. */
function emitZeros(emit: OnnxEmitter, added: string): string {
  const shape = emit.node('Shape', [added])
  const picked = emit.node('Gather', [shape, emit.ints([0, 1, 3, 4])])
  return emit.node('ConstantOfShape', [picked])
}
