// Computes an adapter's cost before it is created, from its configuration and the model's graph.
// Independent of kinds.

import { countBytes, type DType } from '../base/dtype.ts'
import { sizeOf } from '../base/tensor.ts'
import type { Dim, Graph, Node } from '../graph/ir.ts'
import type { ModelGraph } from '../graph/model-graph.ts'
import { resolveAdapterConfig, listParameterSpecs } from './adapter.ts'
import { attach } from './attach.ts'
import { getKind } from './kinds/kind-table.ts'

export interface AdapterCost {
  /** The number of trained parameters. */
  readonly parameters: number
  /** Bytes of all tensors, including those that are never trained. */
  readonly bytes: number
  /**
   * Floating-point operations per token beyond those of the base; a multiplication and an addition
   * count as two.
   */
  readonly flopsPerToken: number
}

/**
 * The cost of an adapter of this kind and configuration, as `createAdapter` takes it: `cost('lora',
 * { rank: 16 }, model)`. `dtype` is the element type of its tensors. Work that does not depend on
 * the number of tokens is not counted. Throws OptionError for wrong options and for targets that
 * the model does not have.
 */
export function computeAdapterCost(
  kind: string,
  options: Readonly<Record<string, unknown>>,
  model: ModelGraph,
  dtype: DType = 'f32',
): AdapterCost {
  const config = resolveAdapterConfig(kind, options, model)
  const specs = [...listParameterSpecs(model, { kind, config }).values()]
  const sum = (values: readonly number[]): number =>
    values.reduce((total, value) => total + value, 0)
  return {
    parameters: sum(specs.map(({ shape, trainable }) => (trainable ? sizeOf(shape) : 0))),
    bytes: sum(specs.map(({ shape }) => countBytes(dtype, sizeOf(shape)))),
    flopsPerToken:
      countFlops(attach(model, { kind, config: config })) -
      countFlops(model) +
      countPrefixFlops(model, getKind(kind).virtualTokens?.(config) ?? 0),
  }
}

/**
 * Every token attends to every virtual one: a score and a share of its value for each head, in each
 * layer.
 */
const countPrefixFlops = (
  { config: { heads, headWidth, layers } }: ModelGraph,
  virtualTokens: number,
): number => 4 * virtualTokens * heads * headWidth * layers.length

const elementwise = new Set(['add', 'subtract', 'multiply', 'divide', 'scale'])

/** The value of a dimension for one token: a name counts as 1. '8*T' → 8 */
const countPerToken = (dim: Dim): number =>
  typeof dim === 'number'
    ? dim
    : dim.split('*').reduce((product, factor) => product * (Number(factor) || 1), 1)

function countNodeFlops({ operation, inputs, output, attributes }: Node): number {
  const results = output.shape.map(countPerToken).reduce((product, dim) => product * dim, 1)
  if (!output.shape.some((dim) => typeof dim === 'string')) return 0 // once a run
  if (elementwise.has(operation)) return results
  const [x] = inputs
  if (operation === 'matmul')
    return 2 * results * countPerToken(x!.shape[x!.shape.length - (attributes['transA'] ? 2 : 1)]!)
  if (operation === 'linear' || operation === 'quantizedLinear')
    return 2 * results * countPerToken(x!.shape[x!.shape.length - 1]!)
  return 0 // the same with and without an adapter
}

/** Products and element-wise operations of one token through the whole model. */
function countFlops({ blocks }: ModelGraph): number {
  const known = new Map<Graph, number>()
  return blocks.reduce((total, { graph }) => {
    const flops =
      known.get(graph) ?? graph.nodes.reduce((sum, node) => sum + countNodeFlops(node), 0)
    known.set(graph, flops)
    return total + flops
  }, 0)
}
