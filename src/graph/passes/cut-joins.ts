// Graph pass: replaces a slice of concatenated values that covers exactly one of them by that
// value. Nothing is copied then.

import type { Graph, Node, Value } from '../ir.ts'
import { prune, rewrite } from './rewrite.ts'

export function cutJoins(graph: Graph): Graph {
  const joins = new Map<string, Node>()
  return prune(
    rewrite(graph, '%cut', (_, node) => {
      const { operation, inputs, output, attributes } = node
      if (operation === 'concat') joins.set(output.name, node)
      if (operation !== 'slice') return undefined
      const join = joins.get(inputs[0]!.name)
      const { axis, start, end } = attributes as Record<'axis' | 'start' | 'end', number>
      return join?.attributes['axis'] === axis ? findPart(join.inputs, axis, start, end) : undefined
    }),
  )
}

function findPart(
  values: readonly Value[],
  axis: number,
  start: number,
  end: number,
): Value | undefined {
  let at = 0
  for (const value of values) {
    const length = value.shape[axis]
    if (typeof length !== 'number') return undefined
    if (at === start && at + length === end) return value
    at += length
  }
  return undefined
}
