// Graph pass: linear layers of one block that read the same input become one layer, whose output is
// split again, because one wide product is faster than several narrow ones. Their weights, biases
// and adapter tensors are stacked by name.

import type { Node } from '../../graph/ir.ts'
import type { Block, ModelGraph } from '../../graph/model-graph.ts'
import { prune, rewrite } from '../../graph/passes/rewrite.ts'

/** One linear layer that was several. Names are full: with the block's prefix. */
export interface LinearStack {
  readonly module: string
  readonly weight: string
  readonly bias?: string
  readonly parts: readonly {
    readonly module: string
    readonly weight: string
    readonly bias?: string
    readonly outFeatures: number
  }[]
}

export interface StackedModel {
  readonly model: ModelGraph
  readonly stacks: readonly LinearStack[]
}

/** 'self_attn.q_proj', 'self_attn.k_proj' → 'self_attn.q_proj+k_proj' */
function joinNames(modules: readonly string[]): string {
  const [first, ...others] = modules as [string, ...string[]]
  const parent = first.slice(0, first.lastIndexOf('.') + 1)
  return [
    first,
    ...others.map((module) => (module.startsWith(parent) ? module.slice(parent.length) : module)),
  ].join('+')
}

const moduleOf = (node: Node): string => String(node.attributes.module)
const outFeaturesOf = (node: Node): number => node.inputs[1]!.shape[0] as number

/** Linear nodes that read one value, in graph order; `alike` decides which may share a product. */
function groupLinears(block: Block, alike: (weight: string) => string | undefined): Node[][] {
  const groups = new Map<string, Node[]>()
  for (const node of block.graph.nodes) {
    if (node.operation !== 'linear') continue
    const kind = alike(block.prefix + node.inputs[1]!.name)
    if (kind === undefined) continue
    const key = [node.inputs[0]!.name, kind, node.inputs.length].join(' ')
    groups.set(key, [...(groups.get(key) ?? []), node])
  }
  return [...groups.values()].filter((group) => group.length > 1)
}

function stackBlock(
  block: Block,
  alike: (weight: string) => string | undefined,
): { block: Block; stacks: LinearStack[] } {
  const groups = groupLinears(block, alike)
  const groupOf = new Map(
    groups.flatMap((group) => group.map((node) => [node.output.name, group] as const)),
  )
  const stacked = new Map<Node[], ReturnType<Parameters<typeof rewrite>[2]>>()
  const graph = rewrite(block.graph, '%stack', (g, node) => {
    const group = groupOf.get(node.output.name)
    if (!group) return undefined
    const module = joinNames(group.map(moduleOf))
    const total = group.reduce((sum, one) => sum + outFeaturesOf(one), 0)
    if (!stacked.has(group)) {
      const weight = g.weight(`${module}.weight`, [total, node.inputs[1]!.shape[1]!])
      stacked.set(
        group,
        g.linear(
          node.inputs[0]!,
          weight,
          module,
          node.inputs[2] && g.weight(`${module}.bias`, [total]),
        ),
      )
    }
    const index = group.findIndex((one) => one.output.name === node.output.name)
    const start = group.slice(0, index).reduce((sum, one) => sum + outFeaturesOf(one), 0)
    const whole = stacked.get(group)!
    return g.slice(whole, whole.shape.length - 1, start, start + outFeaturesOf(node))
  })
  const named = (module: string, weight: string, bias: string | undefined) => ({
    module: block.prefix + module,
    weight: block.prefix + weight,
    ...(bias === undefined ? {} : { bias: block.prefix + bias }),
  })
  const stacks = groups.map((group): LinearStack => {
    const module = joinNames(group.map(moduleOf))
    const parts = group.map((node) => ({
      ...named(moduleOf(node), node.inputs[1]!.name, node.inputs[2]?.name),
      outFeatures: outFeaturesOf(node),
    }))
    return { ...named(module, `${module}.weight`, group[0]!.inputs[2] && `${module}.bias`), parts }
  })
  return { block: { ...block, graph: prune(graph) }, stacks }
}

/**
 * Stacks what may be stacked in every block. `alike` names a weight's form; weights of equal form
 * go together, undefined stays alone.
 */
export function stackLinears(
  model: ModelGraph,
  alike: (weight: string) => string | undefined,
): StackedModel {
  const results = model.blocks.map((block) =>
    block.kind === 'layer' ? stackBlock(block, alike) : { block, stacks: [] },
  )
  return {
    model: { ...model, blocks: results.map(({ block }) => block) },
    stacks: results.flatMap(({ stacks }) => stacks),
  }
}
