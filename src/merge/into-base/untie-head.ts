// Unties the head from the embedding: the same model with a separate head weight, so that each can
// change separately.

import { listMergeSteps, SharedWeightError } from '../../adapters/merge-weights.ts'
import { UnsupportedError } from '../../base/errors.ts'
import { listBlockLayers } from '../../adapters/adapted-layers.ts'
import type { Adapter } from '../../adapters/adapter.ts'
import { getEntry, type TensorStore } from '../../formats/tensor-store.ts'
import type { BaseModel } from '../../graph/base-model.ts'
import { buildModelGraph } from '../../graph/build-model.ts'
import { collectWeightShapes, type ModelGraph } from '../../graph/model-graph.ts'

export type GraphAndWeights = Pick<BaseModel, 'graph' | 'weights'>

export interface UntiedBase extends GraphAndWeights {
  /** Checkpoint names of the weight that was shared, and of the copy that the head now has. */
  readonly table: string
  readonly head: string
}

/**
 * The same model with a separate head weight; undefined if it has one already. The copy is read
 * from the embedding's bytes.
 */
export function untieHead({ graph, weights }: GraphAndWeights): UntiedBase | undefined {
  if (!graph.config.tiedEmbeddings) return undefined
  const apart = buildModelGraph({ ...graph.config, tiedEmbeddings: false })
  const shared = collectWeightShapes(graph.blocks)
  const head = [...collectWeightShapes(apart.blocks).keys()].find((name) => !shared.has(name))!
  const table = getTableName(apart)
  const own: TensorStore = {
    ...weights,
    tensors: new Map([...weights.tensors, [head, getEntry(weights.tensors, table, weights.name)]]),
    read: (name) => weights.read(name === head ? table : name),
  }
  return { graph: apart, weights: own, table, head }
}

function getTableName(model: ModelGraph): string {
  const [block] = model.blocks
  const embedding = listBlockLayers(block!).find(({ module }) => module.kind === 'embedding')
  return block!.prefix + embedding!.weight!.name
}

/**
 * Whether one of the adapters changes the embedding or the head alone. Throws UnsupportedError if
 * another one changes both together, because no weights can represent both changes.
 */
export function needsUntying(
  { graph, table }: { readonly graph: ModelGraph; readonly table: string },
  adapters: readonly Adapter[],
): boolean {
  const changes = adapters.map((adapter) => findTableChange(graph, adapter, table))
  const apart = changes.indexOf('one')
  const both = changes.indexOf('both')
  if (apart >= 0 && both >= 0)
    throw new UnsupportedError(
      `Merge into a base: adapters[${both}] changes embedding and head as the one weight that they share, adapters[${apart}] only one of them. ` +
        `Merge adapters[${both}] alone first, and the other into the result.`,
    )
  return apart >= 0
}

/** Which of the two the adapter changes; undefined for none. */
function findTableChange(
  graph: ModelGraph,
  adapter: Adapter,
  table: string,
): 'one' | 'both' | undefined {
  try {
    const steps = listMergeSteps(graph, adapter)
    return steps.some(({ writes }) => writes.includes(table)) ? 'both' : undefined
  } catch (error) {
    if (error instanceof SharedWeightError) return 'one'
    throw error
  }
}
