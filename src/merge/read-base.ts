// What a merge needs of a base model that is open: its graph, its hash where adapters have one, and
// the weights on which their changes depend.

import { type Adapter, checkAdapter } from '../adapters/adapter.ts'
import { listBlockLayers } from '../adapters/adapted-layers.ts'
import { baseHashKey, checkBaseCopies } from '../adapters/base-copy.ts'
import { getKind } from '../adapters/kinds/kind-table.ts'
import { listSavedTensors } from '../adapters/saved-modules.ts'
import { listTokenTables } from '../adapters/trainable-tokens.ts'
import { isBlockType } from '../base/dtype.ts'
import type { Tensor } from '../base/tensor.ts'
import type { BaseModel } from '../graph/base-model.ts'
import type { ModelGraph } from '../graph/model-graph.ts'
import { readWeights } from '../graph/read-weights.ts'
import type { MergeBase } from './sources.ts'

/** The base's graph, and of its weights those on which a change depends: LoRA's never does. */
export async function readMergeBase(
  base: BaseModel,
  adapters: readonly Adapter[],
): Promise<MergeBase> {
  const { graph: model } = base
  // weights in blocks stay so where an adapter has a copy, which is compared less strictly then
  const inBlocks = new Map<string, Tensor>()
  const read = async (name: string): Promise<Tensor> => {
    const tensor = await base.weights.read(name)
    if (isBlockType(tensor.dtype)) inBlocks.set(name, tensor)
    return tensor
  }
  for (const adapter of adapters) await checkBaseCopies(adapter, model, read)
  const isTaught = adapters.some(({ metadata }) => metadata?.[baseHashKey] !== undefined)
  const known = { model, name: base.name, ...(isTaught && { hash: await base.identity() }) }
  for (const adapter of adapters.filter(needsBase)) checkAdapter(adapter, model)
  const names = new Set(adapters.flatMap((adapter) => listNeededWeights(adapter, model)))
  if (names.size === 0) return known
  const weights = await readWeights(base, names)
  return { ...known, weightOf: (name) => inBlocks.get(name) ?? weights.get(name)! }
}

const needsBase = ({ kind, config }: Adapter): boolean =>
  kind !== 'lora' || Boolean(config.modulesToSave ?? config.embeddings ?? config.trainableTokens)

/** Checkpoint names of the weights on which the adapter's change depends. */
function listNeededWeights({ kind, config }: Adapter, model: ModelGraph): string[] {
  const layers = model.blocks.flatMap((block) =>
    listBlockLayers(block).flatMap(({ module, weight, bias }) =>
      kind !== 'lora' && getKind(kind).parameters(config, module).length > 0
        ? [weight, bias].flatMap((value) => (value ? [block.prefix + value.name] : []))
        : [],
    ),
  )
  const saved = [...listSavedTensors(model, config).values()].map(({ base }) => base)
  const rows = listTokenTables(config, model).map(({ weight }) => weight)
  return [...layers, ...saved, ...rows]
}
