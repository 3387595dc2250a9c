// A model as blocks: embed, one per layer, head. Layers of equal structure share one graph, so they
// share one compiled program.
//
// Feeds (all models): ids i64 [N, T]; positions i64 [N, T]; mask f32 [N, 1, T, T] added to the
// scores (and mask.sliding for sliding layers); rope.cos, rope.sin f32 [P, r/2] (and
// rope.local.cos, rope.local.sin); rows i64 [M]: the positions, out of N·T, that the head computes.

import { assertInternal } from '../base/errors.ts'
import { GraphBuilder } from './builder.ts'
import type { Dim, Graph, Value } from './ir.ts'
import type { ModelConfig } from './model-config.ts'

/**
 * One block. Weight inputs, adapter inputs and module names inside the graph are relative to
 * `prefix`; feeds are not. embed: ids → x [N, T, D]; layer: x → x; head: x, rows → hidden [M, D]
 * (after the last norm) and logits [M, V].
 */
export interface Block {
  readonly kind: 'embed' | 'layer' | 'head'
  /** 'model.layers.3.' for a layer, '' for embed and head. */
  readonly prefix: string
  readonly graph: Graph
}

export interface ModelGraph {
  readonly config: ModelConfig
  readonly blocks: readonly Block[]
}

/** A linear layer (or embedding) that adapters can target. */
export interface ModuleInfo {
  /** Full path: 'model.layers.0.self_attn.q_proj'. */
  readonly path: string
  readonly kind: 'linear' | 'embedding'
  readonly inFeatures: number // embedding: V
  readonly outFeatures: number // embedding: D
  readonly bias: boolean
  /** Layer number, for a module of a layer. */
  readonly layer?: number
}

/**
 * Every linear layer and embedding of a block, in graph order. Shapes from the weight input: linear
 * [out, in], embedding [V, D].
 */
export function listBlockModules(block: Block): ModuleInfo[] {
  const layer = /\.(\d+)\.$/.exec(block.prefix)?.[1]
  return block.graph.nodes.flatMap(({ operation, inputs, attributes }) => {
    if ((operation !== 'linear' && operation !== 'embedding') || attributes['module'] === undefined)
      return [] // detours name no module
    const weight = (operation === 'linear' ? inputs[1] : inputs[0])!
    const [rows, columns] = weight.shape as [number, number]
    const linear = operation === 'linear'
    const module: ModuleInfo = {
      path: block.prefix + String(attributes.module),
      kind: linear ? 'linear' : 'embedding',
      inFeatures: linear ? columns : rows,
      outFeatures: linear ? rows : columns,
      bias: linear && inputs.length > 2,
      ...(layer === undefined ? {} : { layer: Number(layer) }),
    }
    return [module]
  })
}

export const listModules = (model: ModelGraph): ModuleInfo[] =>
  model.blocks.flatMap(listBlockModules)

/**
 * Checkpoint names and shapes of every weight the blocks read, each once (a tied head shares the
 * embedding's).
 */
export function collectWeightShapes(blocks: readonly Block[]): Map<string, readonly Dim[]> {
  const weights = new Map<string, readonly Dim[]>()
  for (const { graph, prefix } of blocks) {
    for (const { name, role, shape } of graph.inputs)
      if (role === 'weight') weights.set(prefix + name, shape)
  }
  return weights
}

/** The name of a block's value in the chain. */
const toChainedName = (name: string, index: number): string => `${name}@${index}`

/** The names, in the graph of the chained blocks, of the values between consecutive blocks. */
export const listFlowNames = (blocks: readonly Block[]): string[] =>
  blocks.slice(0, -1).map(({ graph }, index) => {
    const x = graph.outputs.get('x')
    assertInternal(x, `block ${index} gives no x to the next one`)
    return toChainedName(x.name, index)
  })

/**
 * Chains consecutive blocks into one graph; names inside get their block's prefix. The first
 * block's x, if it has one, stays an input.
 */
export function composeBlocks(blocks: readonly Block[]): Graph {
  const g = new GraphBuilder('%chain')
  let flowing: Value | undefined
  blocks.forEach(({ graph, prefix }, index) => {
    const values = new Map<string, Value>()
    for (const input of graph.inputs) {
      const value =
        input.name === 'x' && flowing
          ? flowing
          : g.input(
              input.role === 'feed' ? input.name : prefix + input.name,
              input.dtype,
              input.shape,
              input.role,
            )
      values.set(input.name, value)
    }
    const renamed = (name: string): string => toChainedName(name, index)
    for (const [name, tensor] of graph.constants) g.adoptConstant(renamed(name), tensor)
    const valueOf = (value: Value): Value =>
      values.get(value.name) ?? { ...value, name: renamed(value.name) }
    for (const node of graph.nodes) {
      const { module } = node.attributes
      const attributes =
        module === undefined
          ? node.attributes
          : { ...node.attributes, module: prefix + String(module) }
      g.adopt({
        operation: node.operation,
        inputs: node.inputs.map(valueOf),
        output: valueOf(node.output),
        attributes,
      })
    }
    flowing = undefined
    for (const [name, value] of graph.outputs) {
      if (name === 'x') flowing = valueOf(value)
      else g.output(graph.outputs.has('x') ? prefix + name : name, valueOf(value))
    }
    assertInternal(
      flowing || index === blocks.length - 1,
      `block ${index} gives no x to the next one`,
    )
  })
  if (flowing) g.output('x', flowing)
  return g.build()
}
