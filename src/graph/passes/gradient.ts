// Reverse-mode differentiation as a graph pass: the new graph computes the old outputs and the
// gradients.

import { OptionError } from '../../base/errors.ts'
import { GraphBuilder } from '../builder.ts'
import type { Graph, Value } from '../ir.ts'
import { getOperation } from '../operation-table.ts'
import { recompute, type RecomputeOptions } from './recompute.ts'
import { expandComposites, findFreshPrefix, prune } from './rewrite.ts'

/** Name of the output (or seed input) that carries the gradient with respect to `name`. */
export const toGradientName = (name: string): string => `gradient:${name}`

export interface GradientOptions {
  /**
   * Outputs that are differentiated. A scalar's seed is 1; any other's arrives as an input named
   * toGradientName(output).
   */
  readonly of: readonly string[]
  /** Inputs whose gradients become outputs, named toGradientName(input). */
  readonly withRespectTo: readonly string[]
  /** Outputs of the old graph to keep. Default: all. */
  readonly keep?: readonly string[]
  /**
   * Computes values again in the backward pass instead of keeping them: the cheap ones, and whole
   * segments between boundaries.
   */
  readonly recompute?: RecomputeOptions
}

/** Names of values that depend on one of the given inputs. */
function collectDependants(graph: Graph, names: readonly string[]): Set<string> {
  const active = new Set(names)
  for (const { operation, inputs, output } of graph.nodes) {
    if (operation !== 'stopGradient' && inputs.some(({ name }) => active.has(name)))
      active.add(output.name)
  }
  return active
}

/** Adds gradients to a graph (vector–Jacobian products, in reverse order of the nodes). */
export function withGradients(
  original: Graph,
  { of, withRespectTo, keep, recompute: again }: GradientOptions,
): Graph {
  const graph = expandComposites(original)
  const g = new GraphBuilder(findFreshPrefix(graph, '%g'))
  for (const input of graph.inputs) g.input(input.name, input.dtype, input.shape, input.role)
  for (const [name, tensor] of graph.constants) g.adoptConstant(name, tensor)
  for (const node of graph.nodes) g.adopt(node)
  for (const [name, value] of graph.outputs) if (!keep || keep.includes(name)) g.output(name, value)

  const gradients = new Map<string, Value>()
  const accumulate = (value: Value, gradient: Value): void => {
    const earlier = gradients.get(value.name)
    gradients.set(value.name, earlier ? g.add(earlier, gradient) : gradient)
  }
  for (const name of of) {
    const output = graph.outputs.get(name)
    if (!output) throw new OptionError(`withGradients: there is no output "${name}".`)
    const one = () => g.constant({ dtype: 'f32', shape: [], data: Float32Array.of(1) })
    accumulate(
      output,
      output.shape.length === 0 ? one() : g.input(toGradientName(name), 'f32', output.shape),
    )
  }

  const active = collectDependants(graph, withRespectTo)
  for (const node of [...graph.nodes].reverse()) {
    const upstream = gradients.get(node.output.name)
    if (!upstream || !active.has(node.output.name)) continue
    const rule = getOperation(node.operation).gradient
    if (!rule)
      throw new OptionError(`withGradients: operation "${node.operation}" has no gradient.`)
    const needs = (index: number): boolean =>
      node.inputs[index] !== undefined && active.has(node.inputs[index].name)
    const parts = rule(g, { ...node, upstream, needs })
    parts.forEach((part, i) => part && needs(i) && accumulate(node.inputs[i]!, part))
  }
  for (const name of withRespectTo) {
    const gradient = gradients.get(name)
    if (!gradient)
      throw new OptionError(
        `withGradients: no output of [${of.join(', ')}] depends on input "${name}".`,
      )
    g.output(toGradientName(name), gradient)
  }
  const whole = prune(g.build())
  return again
    ? prune(recompute(whole, new Set(graph.nodes.map(({ output }) => output.name)), again))
    : whole
}
