// Gradient checkpointing: which values of the forward pass are kept for the backward pass, and
// which are computed again there (Chen et al. 2016, arXiv:1604.06174). A pass over a graph with
// gradients; results are bit-identical, because the same operations run on the same values.

import type { Graph, Node, Value } from '../ir.ts'
import { findSymbolicAxis } from '../ops/after.ts'
import { findFreshPrefix } from './rewrite.ts'

/** Cheap to recompute compared with the products around them: one pass over memory each. */
const cheap = new Set(['silu', 'geluTanh', 'multiply', 'rmsNorm'])

export interface RecomputeOptions {
  /**
   * Names of values that are kept and cut the forward pass into segments. Values of a segment that
   * ends at a boundary are recomputed from the boundary before it; values after the last boundary
   * are kept.
   */
  readonly boundaries?: readonly string[]
}

interface RecomputePass {
  /** Values of the forward pass, and copies of them. */
  readonly forward: ReadonlySet<string>
  /**
   * The group in which a value is recomputed when the backward pass first reads it; undefined: it
   * is kept.
   */
  readonly groups: ReadonlyMap<string, string>
  /**
   * Whether a whole group starts where the first of its values is read; otherwise each value starts
   * as late as possible.
   */
  readonly together: boolean
  readonly prefix: string
}

/** One walk over the nodes: those of the backward pass read copies of what is not kept. */
class GroupRecomputation {
  /** The new nodes. */
  readonly nodes: Node[] = []
  /** Names of the copies. */
  readonly copies = new Set<string>()
  readonly #pass: RecomputePass
  readonly #made: ReadonlyMap<string, Node>
  readonly #done = new Map<string, Value>()
  readonly #gates = new Map<string, Value>()
  /** The value of the backward pass that was computed last. */
  #latest: Value | undefined

  constructor(nodes: readonly Node[], pass: RecomputePass) {
    this.#pass = pass
    this.#made = new Map(nodes.map((node) => [node.output.name, node]))
    for (const node of nodes) this.#add(node)
  }

  #add(node: Node): void {
    if (this.#pass.forward.has(node.output.name)) {
      this.nodes.push(node)
      return
    }
    const inputs = node.inputs.map((input) => {
      const group = this.#latest && this.#pass.groups.get(input.name)
      return group === undefined ? input : this.#copy(input, group)
    })
    this.nodes.push({ ...node, inputs })
    if (node.output.dtype === 'f32' && findSymbolicAxis(node.output.shape) >= 0)
      this.#latest = node.output
  }

  #copy(value: Value, group: string): Value {
    const known = this.#done.get(value.name)
    if (known) return known
    const node = this.#made.get(value.name)!
    const inputs = node.inputs.map((input) =>
      this.#pass.groups.get(input.name) === group ? this.#copy(input, group) : input,
    )
    const output = this.#push(
      node.operation,
      inputs.map((input, i) =>
        this.#mustWait(input, i, inputs) ? this.#wait(input, group) : input,
      ),
      node.output,
      node.attributes,
    )
    this.#done.set(value.name, output)
    return output
  }

  /**
   * Which inputs of a copy must wait: values of the forward pass; if there are none, the first
   * input, a weight or a feed.
   */
  #mustWait({ name }: Value, index: number, inputs: readonly Value[]): boolean {
    if (this.copies.has(name)) return false
    if (this.#made.has(name)) return true
    return (
      index === 0 &&
      !inputs.some((input) => this.#made.has(input.name) || this.copies.has(input.name))
    )
  }

  /** The value with a dependency on the backward pass, so that its copy is not computed earlier. */
  #wait(value: Value, group: string): Value {
    if (value.shape.length === 0) return value
    const gate = (this.#pass.together ? this.#gates.get(group) : undefined) ?? this.#latest!
    this.#gates.set(group, gate)
    const key = `${value.name} after ${gate.name}`
    const known = this.#done.get(key)
    if (known) return known
    const held = this.#push('after', [value, gate], value, {})
    this.#done.set(key, held)
    return held
  }

  #push(
    operation: string,
    inputs: readonly Value[],
    like: Value,
    attributes: Node['attributes'],
  ): Value {
    const output = { ...like, name: `${this.#pass.prefix}${this.copies.size}` }
    this.copies.add(output.name)
    this.nodes.push({ operation, inputs, output, attributes })
    return output
  }
}

/**
 * The segment of each value before the last boundary; boundaries themselves are kept and have none.
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
 * Cheap values whose inputs are all kept anyway, because the backward pass reads them too, or are
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
 * The graph with copies of what is not kept, each computed when the backward pass needs it.
 * `forward`: names of the values that are not gradients.
 */
export function recompute(
  graph: Graph,
  forward: ReadonlySet<string>,
  { boundaries = [] }: RecomputeOptions = {},
): Graph {
  const inSegments = new GroupRecomputation(graph.nodes, {
    forward,
    together: true,
    prefix: findFreshPrefix(graph, '%s'),
    groups: groupSegments(graph.nodes, forward, boundaries),
  })
  const computed = new Set([...forward, ...inSegments.copies])
  const { nodes } = new GroupRecomputation(inSegments.nodes, {
    forward: computed,
    together: false,
    prefix: findFreshPrefix(graph, '%r'),
    groups: groupCheapValues(inSegments.nodes, computed),
  })
  return { ...graph, nodes }
}
