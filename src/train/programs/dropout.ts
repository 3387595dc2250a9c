// Keep-masks for dropout, fed rather than drawn inside the graph: the same seed gives the same
// masks, so a resumed run is exact.

import type { AdapterConfig } from '../../adapters/kinds/kind.ts'
import { toDropoutName } from '../../adapters/keys.ts'
import { random } from '../../base/random.ts'
import { f32, type Tensor } from '../../base/tensor.ts'
import type { Graph, GraphInput } from '../../graph/ir.ts'
import { listBlockModules, type Block } from '../../graph/model-graph.ts'
import type { Batch } from '../batches/batch.ts'

/**
 * Blocks with a separate mask for each layer when they are chained: a plain feed has one name for
 * all layers, so all would drop the same values. A mask is then called `<block
 * prefix>dropout:<module>`.
 */
export function withSeparateMasks(blocks: readonly Block[]): Block[] {
  const own = (input: GraphInput): GraphInput =>
    input.name.startsWith(toDropoutName('')) ? { ...input, role: 'adapter' } : input
  const graphs = new Map<Graph, Graph>() // equal layers still share one graph
  const changed = (graph: Graph): Graph => {
    const known = graphs.get(graph) ?? { ...graph, inputs: graph.inputs.map(own) }
    graphs.set(graph, known)
    return known
  }
  return blocks.map((block) => ({ ...block, graph: changed(block.graph) }))
}

/**
 * Adds a mask [N, T, in] of 0 and 1/(1 − rate) for every module. The masks are windows at random
 * offsets of one pool of draws, because drawing 80 million numbers for each step would take as long
 * as the step.
 */
export function addDropoutFeeds(
  feeds: Map<string, Tensor>,
  blocks: readonly Block[],
  { dropout }: AdapterConfig,
  batch: Batch,
  seed: number,
): void {
  if (dropout === 0) return
  const generator = random(seed)
  const modules = blocks.flatMap((block) =>
    listBlockModules(block).flatMap(({ kind, path, inFeatures }) =>
      kind === 'linear'
        ? [{ name: block.prefix + toDropoutName(path.slice(block.prefix.length)), inFeatures }]
        : [],
    ),
  )
  const widest = Math.max(...modules.map(({ inFeatures }) => inFeatures))
  const rows = batch.rows * batch.tokens
  const pool = new Float32Array(rows * widest * 2)
  const keep = 1 / (1 - dropout)
  for (let i = 0; i < pool.length; i++) pool[i] = generator.uniform() < dropout ? 0 : keep
  for (const { name, inFeatures } of modules) {
    const size = rows * inFeatures
    const start = generator.integer(pool.length - size)
    feeds.set(name, f32([batch.rows, batch.tokens, inFeatures], pool.subarray(start, start + size)))
  }
}
