// Which values of the way forward are kept for the way back, and which are computed again there
// (Chen et al. 2016, arXiv:1604.06174). A pass over a graph with gradients; the numbers stay the
// same bits, since the same operations see the same values.

import type { Graph, Node, Value } from '../ir.ts'
import { findSymbolicAxis } from '../ops/after.ts'
import { findFreshPrefix } from './rewrite.ts'

/** Cheap to compute again beside the products around them: a pass over memory each. */
const cheap = new Set(['silu', 'geluTanh', 'multiply', 'rmsNorm'])

export interface RecomputeOptions {
  /**
   * Names of values that are kept and part the way forward into segments. What lies in a segment
   * that a boundary ends is computed again from the boundary before it; what lies behind the last
   * boundary is kept.
   */
  readonly boundaries?: readonly string[]
}

interface RecomputePass {
  /** Values that are computed on the way forward, or again. */
  readonly forward: ReadonlySet<string>
  /**
   * The group that a value is computed again in, when the way back first asks for it; undefined: it
   * is kept.
   */
  readonly groups: ReadonlyMap<string, string>
  /**
   * Whether a whole group starts where the first of its values is asked for; else each value as
   * late as it can.
   */
  readonly together: boolean
  readonly prefix: string
}

/**
 * One walk over the nodes: those of the way back read copies of what is not kept. Returns the
 * copies' names with the new nodes.
 */
function recomputeGroups(
  nodes: readonly Node[],
  { forward, groups, together, prefix }: RecomputePass,
): { nodes: Node[]; copies: Set<string> } {
  const made = new Map(nodes.map((node) => [node.output.name, node]))
  const result = [] as Node[]
  const copies = new Set<string>()
  const done = new Map<string, Value>()
  const gates = new Map<string, Value>()
  let latest: Value | undefined // of the way back: what was computed last before the copy
  const push = (
    operation: string,
    inputs: readonly Value[],
    like: Value,
    attributes: Node['attributes'],
  ): Value => {
    const output = { ...like, name: `${prefix}${copies.size}` }
    copies.add(output.name)
    result.push({ operation, inputs, output, attributes })
    return output
  }
  const waiting = (value: Value, group: string): Value => {
    if (value.shape.length === 0) return value
    const gate = (together ? gates.get(group) : undefined) ?? latest!
    gates.set(group, gate)
    const key = `${value.name} after ${gate.name}`
    const known = done.get(key)
    if (known) return known
    const held = push('after', [value, gate], value, {})
    done.set(key, held)
    return held
  }
  const copy = (value: Value, group: string): Value => {
    const known = done.get(value.name)
    if (known) return known
    const node = made.get(value.name)!
    const inputs = node.inputs.map((input) =>
      groups.get(input.name) === group ? copy(input, group) : input,
    )
    // Of what is left, values of the way forward wait; where there are none, whatever comes first,
    // a weight or a feed.
    const waits = (input: Value, i: number): boolean =>
      !copies.has(input.name) &&
      (made.has(input.name) ||
        (i === 0 && !inputs.some(({ name }) => made.has(name) || copies.has(name))))
    const output = push(
      node.operation,
      inputs.map((input, i) => (waits(input, i) ? waiting(input, group) : input)),
      node.output,
      node.attributes,
    )
    done.set(value.name, output)
    return output
  }
  for (const node of nodes) {
    if (forward.has(node.output.name)) {
      result.push(node)
      continue
    }
    const inputs = node.inputs.map((input) => {
      const group = latest && groups.get(input.name)
      return group === undefined ? input : copy(input, group)
    })
    result.push({ ...node, inputs })
    if (node.output.dtype === 'f32' && findSymbolicAxis(node.output.shape) >= 0)
      latest = node.output
  }
  return { nodes: result, copies }
}

/**
 * Segment of each value in front of the last boundary; boundaries themselves are kept and have
 * none.
 */
function groupSegments(
  nodes: readonly Node[],
  forward: ReadonlySet<string>,
  boundaries: readonly string[],
): Map<string, string> {
  const segments = new Map<string, string>()
  const open = new Set(boundaries)
  let segment: string[] = []
  for (const { output } of nodes) {
    if (!forward.has(output.name)) continue
    if (!open.delete(output.name)) segment.push(output.name)
    else {
      for (const name of segment) segments.set(name, `segment ${open.size}`)
      segment = []
    }
  }
  return segments
}

/**
 * Cheap values all of whose inputs are kept anyhow, because the way back reads them too, or are
 * such values themselves.
 */
function groupCheapValues(
  nodes: readonly Node[],
  forward: ReadonlySet<string>,
): Map<string, string> {
  const read = new Set(
    nodes.flatMap(({ inputs, output }) =>
      forward.has(output.name) ? [] : inputs.map(({ name }) => name),
    ),
  )
  const groups = new Map<string, string>()
  for (const { operation, inputs, output } of nodes) {
    if (!forward.has(output.name) || !cheap.has(operation)) continue
    const fromKept = inputs.every(({ name }) => !forward.has(name) || read.has(name))
    if (fromKept && read.has(output.name)) groups.set(output.name, 'cheap')
  }
  return groups
}

/**
 * The graph with copies of what is not kept, each made when the way back needs it. `forward`: names
 * of the values that are no gradients.
 */
export function recompute(
  graph: Graph,
  forward: ReadonlySet<string>,
  { boundaries = [] }: RecomputeOptions = {},
): Graph {
  const inSegments = recomputeGroups(graph.nodes, {
    forward,
    together: true,
    prefix: findFreshPrefix(graph, '%s'),
    groups: groupSegments(graph.nodes, forward, boundaries),
  })
  const computed = new Set([...forward, ...inSegments.copies])
  const { nodes } = recomputeGroups(inSegments.nodes, {
    forward: computed,
    together: false,
    prefix: findFreshPrefix(graph, '%r'),
    groups: groupCheapValues(inSegments.nodes, computed),
  })
  return { ...graph, nodes }
}
