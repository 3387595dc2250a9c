// Unties the head from the embedding: the same model with a separate head weight, so that either
// may change alone.

import { listMergeSteps } from '../../adapters/merge-weights.ts'
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
 * The same model with a separate head weight; undefined where it has one already. The copy is read
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

/** Whether one of the adapters changes the embedding or the head, but not both as one. */
export const needsUntying = (
  { graph, table, head }: UntiedBase,
  adapters: readonly Adapter[],
): boolean =>
  adapters.some((adapter) =>
    listMergeSteps(graph, adapter).some(
      ({ writes }) => writes.includes(table) || writes.includes(head),
    ),
  )
