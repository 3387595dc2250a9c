// The cost of a graph before it runs: its peak of live bytes, and the operations of its matrix
// products. Counted from the nodes in their order with the dimensions of a batch; independent of
// the runtime.

import { assertInternal } from '../../base/errors.ts'
import { sizeOf, type Tensor } from '../../base/tensor.ts'
import { type Dim, type Graph, type Node, readFactor, type Value } from '../../graph/ir.ts'

/** Named dimensions in numbers. */
export type Dims = ReadonlyMap<string, number>

/** Dimensions of a run, from what is fed. */
export function collectDims(graph: Graph, feeds: ReadonlyMap<string, Tensor>): Map<string, number> {
  const dims = new Map<string, number>()
  for (const { name, shape } of graph.inputs)
    shape.forEach((dim, i) => {
      const length = feeds.get(name)?.shape[i]
      if (typeof dim === 'string' && length !== undefined) dims.set(dim, length)
    })
  return dims
}

/** The value of a dimension: a name such as 'T', a product '3*T' or a sum 'P+T'. */
function computeLength(dim: Dim, dims: Dims): number {
  if (typeof dim === 'number') return dim
  const known = dims.get(dim)
  if (known !== undefined) return known
  const factor = (name: string): number => {
    const length = readFactor(name, (one) => dims.get(one))
    assertInternal(length !== undefined, `dimension "${name}" of "${dim}" is not bound`)
    return length
  }
  const product = (term: string): number =>
    term.split('*').reduce((value, name) => value * factor(name), 1)
  return dim.split('+').reduce((sum, term) => sum + product(term), 0)
}

const computeLengths = (shape: readonly Dim[], dims: Dims): number[] =>
  shape.map((dim) => computeLength(dim, dims))
const bytesOfType = { i64: 8, u8: 1, i8: 1 } as const
const countBytes = ({ dtype, shape }: Value, dims: Dims): number =>
  // f64 exists only in the reference
  sizeOf(computeLengths(shape, dims)) * (bytesOfType[dtype as keyof typeof bytesOfType] ?? 4)

/** The same memory under another name or shape. */
const aliases = new Set(['reshape', 'after', 'stopGradient'])

/** Quantised weights are converted to f32 for the duration of one product. */
const countTemporaryBytes = ({ operation, attributes }: Node): number =>
  /^frozen(Linear|LinearGradient)$/.test(operation)
    ? 4 * sizeOf(attributes['weight'] as readonly number[])
    : 0

export interface MemoryPeak {
  /**
   * Bytes that are alive at the peak: values that a later node reads or that are outputs, and what
   * the node itself needs.
   */
  readonly bytes: number
  /** The part of them with the width `wide`: the head's logits, their softmax, their gradient. */
  readonly wideBytes: number
}

/**
 * The lifetime of each buffer: the node that creates it and the last node that reads it; outputs
 * live to the end.
 */
function listLifetimes(graph: Graph): { made: number; last: number; value: Value }[] {
  const buffers = new Map<string, { made: number; last: number; value: Value }>()
  graph.nodes.forEach(({ operation, inputs, output }, at) => {
    for (const { name } of inputs) {
      const buffer = buffers.get(name)
      if (buffer) buffer.last = at
    }
    const shared = aliases.has(operation)
    if (!shared) buffers.set(output.name, { made: at, last: at, value: output })
    else if (buffers.has(inputs[0]!.name)) buffers.set(output.name, buffers.get(inputs[0]!.name)!)
  })
  for (const { name } of graph.outputs.values()) {
    const buffer = buffers.get(name)
    if (buffer) buffer.last = graph.nodes.length - 1
  }
  return [...new Set(buffers.values())]
}

/**
 * The peak of a run in the order of the nodes. Inputs are not counted, because the caller holds
 * them.
 */
export function computeMemoryPeak(graph: Graph, dims: Dims, wide = 0): MemoryPeak {
  const change = graph.nodes.map(() => ({ bytes: 0, wideBytes: 0 }))
  for (const { made, last, value } of listLifetimes(graph)) {
    const bytes = countBytes(value, dims)
    const wideBytes = value.shape.at(-1) === wide ? bytes : 0
    change[made]!.bytes += bytes
    change[made]!.wideBytes += wideBytes
    const after = change[last + 1]
    if (!after) continue
    after.bytes -= bytes
    after.wideBytes -= wideBytes
  }
  const now = { bytes: 0, wideBytes: 0 }
  let fullest = { bytes: 0, wideBytes: 0 }
  graph.nodes.forEach((node, at) => {
    now.bytes += change[at]!.bytes
    now.wideBytes += change[at]!.wideBytes
    const bytes = now.bytes + countTemporaryBytes(node)
    if (bytes > fullest.bytes) fullest = { bytes, wideBytes: now.wideBytes }
  })
  return fullest
}

/**
 * Multiplications and additions of a graph's matrix products: 2·m·k·n each. Attention must be
 * expanded, as gradients expand it.
 */
export function countProductOperations(graph: Graph, dims: Dims): number {
  let count = 0
  for (const { operation, inputs, output, attributes } of graph.nodes) {
    if (!/^(matmul|linear|frozenLinear|frozenLinearGradient)$/.test(operation)) continue
    const shape = computeLengths(inputs[0]!.shape, dims)
    count +=
      2 *
      sizeOf(computeLengths(output.shape, dims)) *
      shape.at(attributes['transA'] === true ? -2 : -1)!
  }
  return count
}
