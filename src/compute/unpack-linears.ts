// Graph pass: quantizedLinear becomes linear over f32. For runtimes whose product of packed weights
// is slow: on WebAssembly, MatMulNBits at one row takes 23 times as long as a product in f32.

import { type FileTensor, type Tensor } from '../base/tensor.ts'
import type { Attributes, Graph, Value } from '../graph/ir.ts'
import { dequantizeWeight } from '../graph/ops/quantized-linear.ts'
import { prune, rewrite } from '../graph/passes/rewrite.ts'
import { createLazyTensor } from './lazy-tensor.ts'

export interface UnpackedGraph {
  readonly graph: Graph
  /** Those of the packed graph that are still read, and the f32 weights [out, in], made lazily. */
  readonly initializers: ReadonlyMap<string, Tensor | FileTensor>
}

/** Unpacked weights by name, of graphs that share them. */
export type UnpackedWeights = Map<string, FileTensor>

/**
 * Unpacks layers whose packed parts are initializers, in the graph's order, as long as their f32
 * weights fit into `budgetBytes` together; the rest stays packed. What is `known` already counts
 * nothing, and what is new is added to it. The product is exact then, also
 * where the packed one computes in int8.
 */
export function unpackLinears(
  graph: Graph,
  initializers: ReadonlyMap<string, Tensor>,
  budgetBytes: number,
  known: UnpackedWeights = new Map(),
): UnpackedGraph {
  const weights: UnpackedWeights = new Map()
  let leftBytes = budgetBytes
  const unpack = (parts: readonly Value[], attributes: Attributes): string | undefined => {
    const name = `${parts[0]!.name}.f32`
    if (weights.has(name)) return name
    const tensors = parts.map((part) => initializers.get(part.name))
    if (tensors.includes(undefined)) return undefined
    const shape = [Number(attributes['outFeatures']), Number(attributes['inFeatures'])]
    const [codes, scales, offsets] = tensors.map((tensor) => tensor!.data)
    const made =
      known.get(name) ??
      createLazyTensor(name, shape, (weight) =>
        dequantizeWeight(
          codes as Uint8Array,
          scales as Float32Array,
          offsets as Float32Array | undefined,
          attributes,
          weight,
        ),
      )
    if (!known.has(name)) {
      if (made.sizeBytes > leftBytes) return undefined
      leftBytes -= made.sizeBytes
      known.set(name, made)
    }
    weights.set(name, made)
    return name
  }
  const unpacked = rewrite(graph, '%u', (g, { operation, inputs: [x, ...parts], attributes }) => {
    if (operation !== 'quantizedLinear') return undefined
    const name = unpack(parts, attributes)
    if (name === undefined) return undefined
    const weight = g.weight(name, weights.get(name)!.shape)
    return g.op('linear', [x!, weight], { module: attributes['module']! })
  })
  if (weights.size === 0) return { graph, initializers }
  const pruned = prune(unpacked)
  const read = new Set(pruned.inputs.map(({ name }) => name))
  const all: readonly (readonly [string, Tensor | FileTensor])[] = [...initializers, ...weights]
  const kept = all.filter(([name]) => read.has(name))
  return { graph: pruned, initializers: new Map(kept) }
}
