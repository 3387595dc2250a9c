// The contract of an operation, run for every row of the table: reference = ONNX Runtime, gradient
// = finite differences, shapes as promised.

import { describe, expect, it } from 'vitest'
import type { DType } from '../base/dtype.ts'
import { random, type Random } from '../base/random.ts'
import { f32, i64, sizeOf, type Tensor } from '../base/tensor.ts'
import type { OnnxNode } from '../formats/onnx.ts'
import { GraphBuilder } from './builder.ts'
import { evaluate } from './evaluate.ts'
import { toGradientName, withGradients } from './passes/gradient.ts'
import type { Attributes, Dim, Graph } from './ir.ts'
import { getOperation } from './operation-table.ts'
import { boundShape, doubled, expectClose, normal } from './testing.ts'
import { toOnnx } from './passes/to-onnx.ts'
import { onnxBackend, plainBackend } from '../../test/support/onnx.ts'

/** One input: random numbers of a shape, unless `values` provides them. */
export interface CaseInput {
  readonly shape: readonly Dim[]
  /** Not differentiated: ids, tables, and inputs for which a rule has no gradient. */
  readonly constant?: true
  readonly values?: (random: Random, shape: readonly number[]) => Tensor
}

export interface OperationCase {
  readonly title?: string
  readonly inputs: readonly CaseInput[]
  readonly attributes?: Attributes
}

/** Lengths of the named dimensions in all cases; pairwise different, so that a mix-up shows. */
export const dims = { N: 2, T: 3, P: 5, M: 4 }

const STEP = 1e-5 // of the central difference in f64: its own error is about 1e-10

const keptTypes = ['i64', 'i32', 'u8', 'i8', 'f16'] as const
const isKept = (dtype: DType): dtype is (typeof keptTypes)[number] =>
  (keptTypes as readonly DType[]).includes(dtype)

/** y = operation(inputs) with the inputs named a0, a1, … */
function graphOf(
  operation: string,
  { inputs, attributes }: OperationCase,
  tensors: readonly Tensor[],
): Graph {
  const g = new GraphBuilder()
  const values = inputs.map(({ shape }, i) => {
    const { dtype } = tensors[i]!
    return g.input(`a${i}`, isKept(dtype) ? dtype : 'f32', shape)
  })
  g.output('y', g.op(operation, values, attributes))
  return g.build()
}

const feedsOf = (tensors: readonly Tensor[]): Map<string, Tensor> =>
  new Map(tensors.map((tensor, i) => [`a${i}`, tensor]))

async function onOnnxRuntime(
  graph: Graph,
  feeds: ReadonlyMap<string, Tensor>,
  backend = onnxBackend,
): Promise<Map<string, Tensor>> {
  const program = await backend.compile(graph)
  try {
    return await program.run(feeds)
  } finally {
    await program.dispose()
  }
}

/** d(Σ seed·y)/d(input) by central differences, one element after the other. */
function differences(
  graph: Graph,
  feeds: ReadonlyMap<string, Tensor>,
  input: string,
  seed: Tensor,
): Tensor {
  const original = feeds.get(input)!
  const weighted = (at: number, shift: number): number => {
    const data = Float64Array.from(original.data as Float64Array)
    data[at]! += shift
    const y = evaluate(graph, new Map([...feeds, [input, { ...original, data }]])).get('y')!
      .data as Float64Array
    return y.reduce((sum, value, i) => sum + value * (seed.data as Float64Array)[i]!, 0)
  }
  const slopes = Float64Array.from(
    original.data as Float64Array,
    (_, at) => (weighted(at, STEP) - weighted(at, -STEP)) / (2 * STEP),
  )
  return { dtype: 'f64', shape: original.shape, data: slopes }
}

function gradientContract(
  name: string,
  one: OperationCase,
  tensors: readonly Tensor[],
  seed: Tensor,
): void {
  const inputs = one.inputs.flatMap(({ constant }, i) => (constant ? [] : [`a${i}`]))
  const graph = graphOf(name, one, tensors)
  const withGradient = (): Graph => withGradients(graph, { of: ['y'], withRespectTo: inputs })
  const feeds = new Map([...feedsOf(tensors), [toGradientName('y'), seed]])

  it('gradient = central differences in f64', () => {
    const wide = new Map([...feeds].map(([input, tensor]) => [input, doubled(tensor)]))
    const got = evaluate(withGradient(), wide)
    for (const input of inputs) {
      expectClose(
        got.get(toGradientName(input)),
        differences(graph, wide, input, doubled(seed)),
        1e-8,
        `gradient of ${input}`,
      )
    }
  })
  it('gradient on ONNX Runtime = gradient on the reference', async () => {
    const got = await onOnnxRuntime(withGradient(), feeds)
    const expected = evaluate(withGradient(), feeds)
    for (const input of inputs) {
      expectClose(
        got.get(toGradientName(input)),
        expected.get(toGradientName(input))!,
        1e-4,
        `gradient of ${input}`,
      )
    }
  })
  if (usesOwnOperators(withGradient()))
    it('gradient in plain ONNX operators = gradient on the reference', async () => {
      const got = await runPlainly(withGradient(), feeds)
      const expected = evaluate(withGradient(), feeds)
      for (const input of inputs) {
        const gradient = toGradientName(input)
        expectClose(got.get(gradient), expected.get(gradient)!, 1e-4, `gradient of ${input}`)
      }
    })
}

/** Whether a graph is written differently for a platform that has only plain ONNX operators. */
const usesOwnOperators = (graph: Graph): boolean => listOwnOperators(toOnnx(graph).nodes).length > 0

/** Names of ONNX Runtime's own operators, also inside of other nodes. */
const listOwnOperators = (nodes: readonly OnnxNode[]): string[] =>
  nodes.flatMap(({ type, domain, attributes }) => [
    ...(domain === '' ? [] : [type]),
    ...Object.values(attributes).flatMap((attribute) =>
      'graph' in attribute ? listOwnOperators(attribute.graph.nodes) : [],
    ),
  ])

const runPlainly = (graph: Graph, feeds: ReadonlyMap<string, Tensor>) => {
  expect(listOwnOperators(toOnnx(graph, undefined, new Set()).nodes)).toEqual([])
  return onOnnxRuntime(graph, feeds, plainBackend)
}

/** Runs the suite for one case of an operation. */
export function operationContract(name: string, one: OperationCase): void {
  describe(`${name}${one.title ? `, ${one.title}` : ''}`, () => {
    const numbers = random(7)
    const tensors = one.inputs.map(({ shape, values = normal }) =>
      values(numbers, boundShape(shape, dims)),
    )
    const y = evaluate(graphOf(name, one, tensors), feedsOf(tensors)).get('y')!

    it('the shape rule says what is evaluated', () => {
      expect(y.shape).toEqual(boundShape(graphOf(name, one, tensors).outputs.get('y')!.shape, dims))
      expect(y.data.length).toBe(sizeOf(y.shape))
      expect(Array.from(y.data as Float32Array, Number).every(Number.isFinite)).toBe(true)
    })
    it('reference = ONNX Runtime', async () => {
      const got = await onOnnxRuntime(graphOf(name, one, tensors), feedsOf(tensors))
      expectClose(got.get('y'), y, 1e-4)
    })
    const written = graphOf(name, one, tensors)
    const isEmpty = tensors.some(({ shape }) => shape.includes(0))
    if (usesOwnOperators(written) && !isEmpty)
      it('in plain ONNX operators = reference', async () => {
        expectClose((await runPlainly(written, feedsOf(tensors))).get('y'), y, 1e-4)
      })
    const { gradient, expand } = getOperation(name)
    const differentiable = (gradient ?? expand) && one.inputs.some(({ constant }) => !constant)
    const seed = y.shape.length === 0 ? f32([], [1]) : normal(numbers, y.shape) // a scalar's seed is always 1
    if (differentiable) gradientContract(name, one, tensors, seed)
  })
}

// --- kinds of inputs

export const numbers = (...shape: Dim[]): CaseInput => ({ shape })
/** Numbers for which the rule has no gradient. */
export const fixed = (...shape: Dim[]): CaseInput => ({ shape, constant: true })
/** Between 0.5 and 2.5: denominators and roots. */
export const positive = (...shape: Dim[]): CaseInput => ({
  shape,
  values: (source, bound) => {
    const tensor = normal(source, bound)
    return { ...tensor, data: tensor.data.map(() => 0.5 + 2 * source.uniform()) }
  },
})
/** Whole numbers below a limit, some of them twice. */
export const integersBelow = (limit: number, ...shape: Dim[]): CaseInput => ({
  shape,
  constant: true,
  values: (source, bound) =>
    i64(
      bound,
      Array.from({ length: sizeOf(bound) }, () => source.integer(limit)),
    ),
})
/** Whole numbers from `first` up to and without `limit`. */
export const integersFrom = (first: number, limit: number, ...shape: Dim[]): CaseInput => ({
  shape,
  constant: true,
  values: (source, bound) =>
    i64(
      bound,
      Array.from({ length: sizeOf(bound) }, () => first + source.integer(limit - first)),
    ),
})
export const exactly = (tensor: Tensor): CaseInput => ({
  shape: tensor.shape,
  constant: true,
  values: () => tensor,
})
/** Whole numbers from −127 to 127 in one byte. */
export const codes = (...shape: Dim[]): CaseInput => ({
  shape,
  constant: true,
  values: (source, bound) => ({
    dtype: 'i8',
    shape: bound,
    data: Int8Array.from({ length: sizeOf(bound) }, () => source.integer(255) - 127),
  }),
})
/** Bytes of packed codes. */
export const bytes = (...shape: Dim[]): CaseInput => ({
  shape,
  constant: true,
  values: (source, bound) => ({
    dtype: 'u8',
    shape: bound,
    data: Uint8Array.from({ length: sizeOf(bound) }, () => source.integer(256)),
  }),
})
/** A causal mask over the last `T` of `span` keys. */
export const maskInput = (...shape: Dim[]): CaseInput => ({
  shape,
  constant: true,
  values: (_, bound) => {
    const [, , tokens, span] = bound as [number, number, number, number]
    const mask = normal(random(1), bound, 0)
    return {
      ...mask,
      data: mask.data.map((_value, i) =>
        i % span > (Math.floor(i / span) % tokens) + span - tokens ? -1e30 : 0,
      ),
    }
  },
})
