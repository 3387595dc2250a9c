// The slow reference interpreter: runs a graph node by node with the operations' own plain
// evaluations.

import { ShapeError } from '../base/errors.ts'
import type { Tensor } from '../base/tensor.ts'
import { describeShape, type Graph, type Value } from './ir.ts'
import { getOperation } from './operation-table.ts'

/**
 * Records the values of a value's named dimensions in this run; throws ShapeError on a
 * contradiction.
 */
function bindDims(dims: Map<string, number>, value: Value, tensor: Tensor): void {
  const fits =
    value.shape.length === tensor.shape.length &&
    value.shape.every((dim, i) => {
      if (typeof dim === 'number') return dim === tensor.shape[i]
      const known = dims.get(dim)
      if (known === undefined) dims.set(dim, tensor.shape[i]!)
      return known === undefined || known === tensor.shape[i]
    })
  if (!fits)
    throw new ShapeError(
      `Value "${value.name}": got shape ${describeShape(tensor.shape)}, expected ${describeShape(value.shape)}.`,
    )
}

/**
 * Evaluates a graph. `feeds` has every input by name; the result has every output by name. f64
 * feeds compute in double precision.
 */
export function evaluate(graph: Graph, feeds: ReadonlyMap<string, Tensor>): Map<string, Tensor> {
  const dims = new Map<string, number>()
  const known = new Map<string, Tensor>(graph.constants)
  for (const input of graph.inputs) {
    const tensor = feeds.get(input.name)
    if (!tensor) throw new ShapeError(`Graph input "${input.name}" was not fed.`)
    bindDims(dims, input, tensor)
    known.set(input.name, tensor)
  }
  for (const { operation, inputs, output, attributes } of graph.nodes) {
    const tensor = getOperation(operation).evaluate(
      inputs.map(({ name }) => known.get(name)!),
      attributes,
      dims,
    )
    bindDims(dims, output, tensor)
    known.set(output.name, tensor)
  }
  return new Map([...graph.outputs].map(([name, value]) => [name, known.get(value.name)!]))
}
