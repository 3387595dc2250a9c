// Linear layers' products in 8 bits for prefill: 2.5 times as fast as products with 4-bit blocks if
// many tokens are multiplied at once. A few columns of the inputs are far larger than the others,
// which would then be rounded to few distinct values. So columns are scaled before rounding, as in
// SmoothQuant (Xiao et al. 2022, arXiv:2211.10438): by √(largest input / largest weight) of each.

import { f32, type F32Tensor, type Tensor } from '../../../base/tensor.ts'
import type { Graph, Node } from '../../../graph/ir.ts'
import type { ModelGraph } from '../../../graph/model-graph.ts'
import { prune, rewrite } from '../../../graph/passes/rewrite.ts'
import type { BaseWeights } from '../base-weights.ts'
import type { LinearStack } from '../stack-linears.ts'

/** Suffixes of input names: the factors of columns, the weight's codes, its scales. */
const parts = { factors: '.int8.factors', codes: '.int8', steps: '.int8.steps' } as const

const toObservedName = (weight: string): string => `observed.${weight}`

/** The weights of the linear layers in the model's layers, by their names in the chained graph. */
export const listLayerWeights = ({ blocks }: ModelGraph): ReadonlySet<string> =>
  new Set(
    blocks
      .filter(({ kind }) => kind === 'layer')
      .flatMap(({ graph, prefix }) =>
        graph.nodes.flatMap(({ operation, inputs }) =>
          operation === 'linear' ? [prefix + inputs[1]!.name] : [],
        ),
      ),
  )

const isProduct = ({ operation, inputs: [x, weight] }: Node, weights: ReadonlySet<string>) =>
  operation === 'linear' && x!.shape.length === 3 && weights.has(weight!.name)

/**
 * Replaces the products of these weights by 8-bit ones. The graph computes a piece of one prompt,
 * so N is 1.
 */
export const withInt8Products = (graph: Graph, weights: ReadonlySet<string>): Graph =>
  prune(
    rewrite(graph, '%int8', (g, node) => {
      if (!isProduct(node, weights)) return undefined
      const [x, weight, bias] = node.inputs
      const [out, width] = weight!.shape as [number, number]
      const y = g.op('int8Linear', [
        x!,
        g.input(weight!.name + parts.factors, 'f32', [width], 'weight'),
        g.input(weight!.name + parts.codes, 'i8', [width, out], 'weight'),
        g.input(weight!.name + parts.steps, 'f32', [out], 'weight'),
      ])
      return bias ? g.add(y, bias) : y
    }),
  )

/** Adds the inputs of these weights' products as outputs, which `readLargest` reads. */
export function withObservedProducts(graph: Graph, weights: ReadonlySet<string>): Graph {
  const observed = graph.nodes.flatMap((node) =>
    isProduct(node, weights)
      ? [[toObservedName(node.inputs[1]!.name), node.inputs[0]!] as const]
      : [],
  )
  return { ...graph, outputs: new Map([...graph.outputs, ...observed]) }
}

/** By weight, the largest absolute value in each column of its product's input. */
export function readLargest(outputs: ReadonlyMap<string, Tensor>): Map<string, Float32Array> {
  const prefix = toObservedName('')
  const found = new Map<string, Float32Array>()
  for (const [name, { data, shape }] of outputs) {
    if (!name.startsWith(prefix)) continue
    const width = shape.at(-1)!
    const largest = new Float32Array(width)
    const values = data as Float32Array
    for (let i = 0; i < values.length; i++) {
      const size = Math.abs(values[i]!)
      if (size > largest[i % width]!) largest[i % width] = size
    }
    found.set(name.slice(prefix.length), largest)
  }
  return found
}

/** Tokens of the sample that are read, at most. */
const SAMPLE_TOKENS = 128

/** Token ids to observe inputs on: of a representative text, or spread over the vocabulary. */
export const chooseSampleIds = (
  sample: (() => readonly number[]) | undefined,
  vocabularySize: number,
): readonly number[] =>
  sample?.().slice(0, SAMPLE_TOKENS) ??
  Array.from({ length: SAMPLE_TOKENS }, (_, i) =>
    Math.floor(((i * 0.618033988) % 1) * vocabularySize),
  )

/** The weight inputs of the graph's products in 8 bits, by name. */
export async function collectInt8Inputs(
  { graph, stacks }: { readonly graph: Graph; readonly stacks: readonly LinearStack[] },
  largest: ReadonlyMap<string, Float32Array>,
  weights: BaseWeights,
): Promise<Map<string, Tensor>> {
  const stackOf = new Map(stacks.map((stack) => [stack.weight, stack]))
  const inputs = new Map<string, Tensor>()
  for (const { name } of graph.inputs) {
    if (!name.endsWith(parts.codes)) continue
    const weight = name.slice(0, -parts.codes.length)
    const matrices = await Promise.all(
      (stackOf.get(weight)?.parts ?? [{ weight }]).map((part) =>
        weights.floatUncached(part.weight),
      ),
    )
    const { factors, codes, steps } = quantizeColumns(matrices, largest.get(weight)!)
    inputs.set(name, codes)
    inputs.set(weight + parts.factors, factors)
    inputs.set(weight + parts.steps, steps)
  }
  return inputs
}

const MOST_CODE = 127
/** Columns below this share of the largest one count as having this share. */
const LEAST_SHARE = 1e-4

/**
 * Matrices [out, in], one below the other, as codes [in, out]. `largest`: of the inputs' columns.
 */
function quantizeColumns(
  matrices: readonly F32Tensor[],
  largest: Float32Array,
): { readonly factors: F32Tensor; readonly codes: Tensor<Int8Array>; readonly steps: F32Tensor } {
  const width = largest.length
  const out = matrices.reduce((sum, { shape }) => sum + shape[0]!, 0)
  const scales = computeColumnScales(matrices, largest)
  const codes = new Int8Array(width * out)
  const steps = f32([out])
  const scaled = new Float32Array(width)
  let row = 0
  for (const { data } of matrices)
    for (let start = 0; start < data.length; start += width, row++) {
      let most = 0
      for (let i = 0; i < width; i++) {
        const value = data[start + i]! * scales[i]!
        scaled[i] = value
        if (value > most) most = value
        else if (-value > most) most = -value
      }
      const step = most === 0 ? 1 : most / MOST_CODE
      steps.data[row] = step
      for (let i = 0, at = row; i < width; i++, at += out) codes[at] = Math.round(scaled[i]! / step)
    }
  const factors = f32(
    [width],
    scales.map((scale) => 1 / scale),
  )
  return { factors, codes: { dtype: 'i8', shape: [width, out], data: codes }, steps }
}

/** The factors by which the weights' columns are multiplied and the inputs' columns divided. */
function computeColumnScales(matrices: readonly F32Tensor[], largest: Float32Array): Float32Array {
  const width = largest.length
  const weights = new Float32Array(width)
  for (const { data } of matrices)
    for (let start = 0; start < data.length; start += width)
      for (let i = 0; i < width; i++) {
        const size = Math.abs(data[start + i]!)
        if (size > weights[i]!) weights[i] = size
      }
  const least = (sizes: Float32Array): number =>
    Math.max(1e-20, LEAST_SHARE * sizes.reduce((most, size) => Math.max(most, size), 0))
  const leastInput = least(largest)
  const leastWeight = least(weights)
  return weights.map((weight, i) =>
    Math.sqrt(Math.max(largest[i]!, leastInput) / Math.max(weight, leastWeight)),
  )
}
