// Graph pass: rotates adjacent queries and keys of one value together, as the heads of one rotary
// embedding. Every head is rotated separately, so the results are the same.

import type { GraphBuilder } from '../builder.ts'
import type { Graph, Node, Value } from '../ir.ts'
import { prune, rewrite } from './rewrite.ts'

interface Turn {
  readonly node: Node
  /** The position of its input in the value that it is a slice of. */
  readonly source: Value
  readonly start: number
  readonly end: number
}

/** Rotary nodes whose input is a slice along the last axis. */
function listTurns({ nodes }: Graph): Turn[] {
  const makers = new Map(nodes.map((node) => [node.output.name, node]))
  return nodes.flatMap((node): Turn[] => {
    const slice = node.operation === 'rotary' ? makers.get(node.inputs[0]!.name) : undefined
    const source = slice?.inputs[0]
    if (slice?.operation !== 'slice' || slice.attributes['axis'] !== source!.shape.length - 1)
      return []
    const { start, end } = slice.attributes
    return [{ node, source: source!, start: start as number, end: end as number }]
  })
}

const getHeadWidth = ({ node, start, end }: Turn): number =>
  (end - start) / (node.attributes['heads'] as number)

/** Whether one rotary embedding can rotate both: `second` comes after `first`. */
const areNeighbours = (first: Turn, second: Turn): boolean =>
  first.source.name === second.source.name &&
  first.end === second.start &&
  getHeadWidth(first) === getHeadWidth(second) &&
  first.node.attributes['inverse'] === second.node.attributes['inverse'] &&
  [1, 2, 3].every((i) => first.node.inputs[i]!.name === second.node.inputs[i]!.name)

interface Pair {
  readonly first: Turn
  readonly second: Turn
}

/** Pairs of rotations; each rotation is in at most one pair. */
function listPairs(turns: readonly Turn[]): Pair[] {
  const taken = new Set<Turn>()
  return turns.flatMap((first): Pair[] => {
    const second = turns.find((turn) => !taken.has(turn) && areNeighbours(first, turn))
    if (!second || taken.has(first)) return []
    taken.add(first).add(second)
    return [{ first, second }]
  })
}

/** The same outputs with one rotary embedding for each pair of neighbours. */
export function joinRotary(graph: Graph): Graph {
  const pairOf = new Map(
    listPairs(listTurns(graph)).flatMap((pair) => [
      [pair.first.node.output.name, pair] as const,
      [pair.second.node.output.name, pair] as const,
    ]),
  )
  const turned = new Map<Pair, Value>()
  const fused = rewrite(graph, '%turn', (g, node) => {
    const pair = pairOf.get(node.output.name)
    if (!pair) return undefined
    const { first, second } = pair
    const axis = first.source.shape.length - 1
    const whole = turned.get(pair) ?? buildTurn(g, pair, node)
    turned.set(pair, whole)
    const cut = first.end - first.start
    return node.output.name === first.node.output.name
      ? g.slice(whole, axis, 0, cut)
      : g.slice(whole, axis, cut, second.end - first.start)
  })
  return prune(fused)
}

/** One rotary embedding over the heads of both; `source` values have kept their names. */
function buildTurn(g: GraphBuilder, { first, second }: Pair, node: Node): Value {
  const { source, start } = first
  const both = g.slice(source, source.shape.length - 1, start, second.end)
  const heads = [first, second].reduce(
    (sum, turn) => sum + Number(turn.node.attributes['heads']),
    0,
  )
  return g.op('rotary', [both, ...node.inputs.slice(1)], { ...node.attributes, heads })
}
