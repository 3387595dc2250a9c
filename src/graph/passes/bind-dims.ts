// Graph pass: replaces named dimensions by numbers, for programs that run with only one value of
// them.

import { addDims, type Dim, type Graph, type GraphInput, multiplyDims, readFactor } from '../ir.ts'
import { rewrite } from './rewrite.ts'

/** A dimension with the numbers inserted: '2*T+C' with T = 1 is 'C+2'. */
function bindDim(dim: Dim, numbers: ReadonlyMap<string, number>): Dim {
  if (typeof dim === 'number') return dim
  const known = (factor: string): Dim => readFactor(factor, (name) => numbers.get(name)) ?? factor
  return dim
    .split('+')
    .map((term) => term.split('*').map(known).reduce(multiplyDims))
    .reduce(addDims)
}

/** The same graph with these dimensions of its inputs bound, and all that follows from them. */
export function bindDims(graph: Graph, numbers: ReadonlyMap<string, number>): Graph {
  const bindAll = (shape: readonly Dim[]): Dim[] => shape.map((dim) => bindDim(dim, numbers))
  const inputs = new Map(
    graph.inputs.map((input): [string, GraphInput] => [
      input.name,
      { ...input, shape: bindAll(input.shape) },
    ]),
  )
  return rewrite(
    { ...graph, inputs: [...inputs.values()] },
    '%bound',
    (g, { operation, inputs: given, attributes: { shape, ...attributes } }) =>
      g.op(
        operation,
        given.map((value) => inputs.get(value.name) ?? value),
        shape === undefined
          ? attributes
          : { ...attributes, shape: bindAll(shape as readonly Dim[]) },
      ),
  )
}
