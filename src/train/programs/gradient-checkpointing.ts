// Loss and gradients of a model as one program each. With more than one segment, only the values
// between segments are kept for the backward pass, which recomputes the rest, except in the last
// segment (gradient checkpointing, Chen et al. 2016).

import type { Tensor } from '../../base/tensor.ts'
import type { Backend, Program } from '../../compute/backend.ts'
import { toGradientName, withGradients } from '../../graph/passes/gradient.ts'
import type { Graph } from '../../graph/ir.ts'
import { type Block, composeBlocks, listFlowNames } from '../../graph/model-graph.ts'

/** The loss, and the head's other outputs by name. */
export interface LossResult {
  readonly loss: number
  readonly outputs: ReadonlyMap<string, Tensor>
}

/** Loss and gradients by graph-input name, from feeds by graph-input name. */
export interface SegmentedProgram {
  gradients(
    feeds: ReadonlyMap<string, Tensor>,
  ): Promise<LossResult & { gradients: Map<string, Tensor> }>
  measure(feeds: ReadonlyMap<string, Tensor>): Promise<LossResult>
  dispose(): Promise<void>
}

export interface SegmentedProgramOptions {
  /**
   * Attached blocks, the head giving `loss`: with dropout feeds where the adapter has dropout, and
   * without.
   */
  readonly training: readonly Block[]
  readonly plain: readonly Block[]
  /** Graph inputs whose gradients are computed. */
  readonly wanted: readonly string[]
  readonly backend: Backend
  readonly segments: number
}

/** The program's graph: loss, gradients, and the head's other outputs. */
export function buildTrainingGraph({
  training,
  wanted,
  segments,
}: Pick<SegmentedProgramOptions, 'training' | 'wanted' | 'segments'>): Graph {
  const count = Math.min(segments, training.length)
  const flows = listFlowNames(training)
  const boundaries = Array.from(
    { length: count - 1 },
    (_, i) => flows[Math.round(((i + 1) * training.length) / count) - 1]!,
  )
  return withGradients(composeBlocks(training), {
    of: ['loss'],
    withRespectTo: wanted,
    recompute: { boundaries },
  })
}

/**
 * A segment's view of the feeds: those with its prefix in the whole model, by their names inside
 * the segment.
 */
export function selectLocalFeeds(
  feeds: ReadonlyMap<string, Tensor>,
  { graph, prefix }: Block,
  extra: readonly (readonly [string, Tensor])[],
): Map<string, Tensor> {
  const local = new Map<string, Tensor>()
  for (const { name, role } of graph.inputs) {
    const tensor = feeds.get(role === 'feed' ? name : prefix + name) ?? feeds.get(name)
    if (tensor) local.set(name, tensor)
  }
  for (const [name, tensor] of extra) local.set(name, tensor)
  return local
}

function toLossResult(results: ReadonlyMap<string, Tensor>): LossResult {
  const others = [...results].filter(
    ([name]) => name !== 'loss' && !name.startsWith(toGradientName('')),
  )
  return { loss: Number(results.get('loss')!.data[0]), outputs: new Map(others) }
}

/** Compiles programs when they are first needed. */
export function createSegmentedProgram({
  training,
  plain,
  wanted,
  backend,
  segments,
}: SegmentedProgramOptions): SegmentedProgram {
  let backward: Promise<Program> | undefined
  let forward: Promise<Program> | undefined
  const compile = (graph: Graph): Promise<Program> => backend.compile(graph, { lean: true })
  return {
    async gradients(feeds) {
      backward ??= compile(buildTrainingGraph({ training, wanted, segments }))
      const results = await (await backward).run(feeds)
      return {
        ...toLossResult(results),
        gradients: new Map(wanted.map((name) => [name, results.get(toGradientName(name))!])),
      }
    },
    async measure(feeds) {
      forward ??= compile(composeBlocks(plain))
      return toLossResult(await (await forward).run(feeds))
    },
    async dispose() {
      await Promise.all([backward, forward].map(async (program) => (await program)?.dispose()))
    },
  }
}
