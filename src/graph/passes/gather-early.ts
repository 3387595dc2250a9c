// Graph pass: selects rows as soon as the others are not needed. After the last attention, a
// token's values depend only on that token, so unused tokens need not be computed in the forward
// pass, nor in the backward pass, which is derived from it.

import type { Graph, Node, Value } from '../ir.ts'
import { prune, rewrite } from './rewrite.ts'

/**
 * Operations on [N, T, ..] that treat every token separately; products only with one matrix for all
 * tokens.
 */
const tokenwise = new Set([
  'add',
  'subtract',
  'multiply',
  'scale',
  'silu',
  'geluTanh',
  'rmsNorm',
  'linear',
  'matmul',
])
const hasTokenAxis = ({ shape }: Value): boolean => shape.length === 3

const canGatherBefore = ({ operation, inputs, output, attributes }: Node): boolean =>
  tokenwise.has(operation) &&
  hasTokenAxis(output) &&
  inputs.some(hasTokenAxis) &&
  (operation !== 'matmul' || (attributes['transA'] === false && inputs[1]!.shape.length === 2))

/** Values of which only the picked rows are needed, each with the input that selects them. */
function findWantedRows({ nodes, outputs }: Graph): Map<string, Value> {
  const whole = new Set([...outputs.values()].map(({ name }) => name))
  const wanted = new Map<string, Value>()
  for (const node of [...nodes].reverse()) {
    const { operation, inputs, output } = node
    const rows =
      whole.has(output.name) || !canGatherBefore(node) ? undefined : wanted.get(output.name)
    if (rows === undefined) wanted.delete(output.name)
    for (const [i, { name }] of inputs.entries()) {
      const asked = operation === 'gatherRows' && i === 0 ? inputs[1] : rows
      if (asked && (wanted.get(name) ?? asked).name === asked.name) wanted.set(name, asked)
      else whole.add(name)
    }
  }
  for (const name of whole) wanted.delete(name)
  return wanted
}

/**
 * The same outputs with `gatherRows` moved towards the inputs, as far as every reader of a value
 * picks the same rows.
 */
export function gatherEarly(graph: Graph): Graph {
  const wanted = findWantedRows(graph)
  const picked = new Map<string, Value>()
  const made = new Set<string>()
  return prune(
    rewrite(graph, '%early', (g, { operation, inputs, output, attributes }) => {
      const isPicked = ({ name }: Value): boolean => made.has(name)
      if (operation === 'gatherRows') return isPicked(inputs[0]!) ? inputs[0] : undefined
      const rows = wanted.get(output.name)
      if (!rows) return undefined
      const pick = (value: Value): Value => {
        if (!hasTokenAxis(value) || isPicked(value)) return value
        const known = picked.get(value.name) ?? g.op('gatherRows', [value, rows])
        picked.set(value.name, known)
        return known
      }
      const early = g.op(operation, inputs.map(pick), attributes)
      made.add(early.name)
      return early
    }),
  )
}
