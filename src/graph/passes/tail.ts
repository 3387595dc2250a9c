// The end of a model as a separate graph: its layers from a given one on, and the norm before the
// head. It continues from the states that enter that layer, without the layers before it.
// Independent of adapters and of weights' values.

import { assertInternal, OptionError } from '../../base/errors.ts'
import type { Graph } from '../ir.ts'
import { type Block, listFlowNames, type ModelGraph } from '../model-graph.ts'
import { prune } from './rewrite.ts'

const getLayerIndex = ({ blocks }: ModelGraph, layer: number): number => {
  const layers = blocks.flatMap(({ kind }, index) => (kind === 'layer' ? [index] : []))
  const index = layers[layer]
  if (index === undefined)
    throw new OptionError(`There is no layer ${layer}; the model has ${layers.length}, from 0.`)
  return index
}

/**
 * The layers from `layer` on and the head: a model whose x [N, T, D], as it enters that layer, is
 * fed. Throws OptionError for a layer that is not there.
 */
export const sliceTail = (model: ModelGraph, layer: number): ModelGraph => ({
  ...model,
  blocks: model.blocks.slice(getLayerIndex(model, layer)),
})

/** The layers before it: their output x is what the tail is fed. */
export const sliceFront = (model: ModelGraph, layer: number): ModelGraph => ({
  ...model,
  blocks: model.blocks.slice(0, getLayerIndex(model, layer)),
})

/**
 * The name of a layer's input in the graph of all chained blocks. Throws OptionError for a layer
 * that is not there.
 */
export const getLayerInputName = (model: ModelGraph, layer: number): string =>
  listFlowNames(model.blocks)[getLayerIndex(model, layer) - 1]!

/**
 * Blocks whose head ends at the hidden states [M, D] after the last norm, without the head's
 * matrix.
 */
export const removeLogits = (blocks: readonly Block[]): Block[] =>
  blocks.map((block) =>
    block.kind === 'head' ? { ...block, graph: keepHidden(block.graph) } : block,
  )

function keepHidden(head: Graph): Graph {
  const hidden = head.outputs.get('hidden')
  assertInternal(hidden, 'a head gives hidden states')
  return prune({ ...head, outputs: new Map([['hidden', hidden]]) })
}
