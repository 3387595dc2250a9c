// Modules that an adapter trains whole and saves beside its own tensors (PEFT's modules_to_save):
// norms, a head, any linear layer. Their weights become tensors of the adapter under the names they
// have in the base.

import { UnsupportedError } from '../base/errors.ts'
import type { Graph, GraphInput } from '../graph/ir.ts'
import type { Block, ModelGraph } from '../graph/model-graph.ts'

/** A weight or bias of a saved module. */
interface SavedInput {
  /** Name of the base's input in the block's graph. */
  readonly base: GraphInput
  /**
   * Name of the adapter's: the module's path and the part, which differs from the base's only where
   * a head is tied.
   */
  readonly own: string
}

const partOf = (name: string): string => name.slice(name.lastIndexOf('.') + 1)
const pathOf = (name: string): string => name.slice(0, name.lastIndexOf('.'))

/**
 * Paths inside the block of the modules that read each weight: of a tied head, the head's and not
 * the embedding's.
 */
function collectReaders({ nodes }: Graph): Map<string, string> {
  return new Map(
    nodes.flatMap(({ attributes, inputs }) => {
      const { module } = attributes
      return typeof module === 'string' ? inputs.map(({ name }) => [name, module] as const) : []
    }),
  )
}

/** PEFT compares ends of paths without regard to dots: 'norm' is every norm. */
function listSavedInputs({ graph, prefix }: Block, names: readonly string[]): SavedInput[] {
  const paths = collectReaders(graph)
  return graph.inputs.flatMap((base) => {
    const path = paths.get(base.name) ?? pathOf(base.name)
    const hit = base.role === 'weight' && names.some((name) => (prefix + path).endsWith(name))
    return hit ? [{ base, own: `${path}.${partOf(base.name)}` }] : []
  })
}

/**
 * The saved tensors by input name of the composed graph, with the name of the base weight each
 * starts from.
 */
export function listSavedTensors(
  model: ModelGraph,
  names: readonly string[] = [],
): Map<string, { readonly base: string; readonly shape: readonly number[] }> {
  const found = new Map<string, { base: string; shape: readonly number[] }>()
  for (const block of model.blocks) {
    for (const { base, own } of listSavedInputs(block, names)) {
      if (block.kind === 'embed' && model.config.tiedEmbeddings) {
        throw new UnsupportedError(
          `${own}: the head shares this weight, so the embedding cannot be trained whole alone. Leave it out.`,
        )
      }
      found.set(block.prefix + own, {
        base: block.prefix + base.name,
        shape: base.shape as readonly number[],
      })
    }
  }
  return found
}

function withOwnInputs(graph: Graph, saved: readonly SavedInput[]): Graph {
  const own = new Map(
    saved.map(({ base, own: name }) => [
      base.name,
      { ...base, name, role: 'adapter' } satisfies GraphInput,
    ]),
  )
  return {
    ...graph,
    inputs: graph.inputs.map((input) => own.get(input.name) ?? input),
    nodes: graph.nodes.map((node) => ({
      ...node,
      inputs: node.inputs.map((value) => own.get(value.name) ?? value),
    })),
  }
}

/**
 * The model with the saved modules' weights as inputs of the adapter. Layers that come out equal
 * share one graph.
 */
export function withSavedModules(model: ModelGraph, names: readonly string[] = []): ModelGraph {
  if (names.length === 0) return model
  const made = new Map<Graph, Map<string, Graph>>()
  const blocks = model.blocks.map((block) => {
    const saved = listSavedInputs(block, names)
    if (saved.length === 0) return block
    const variants = made.get(block.graph) ?? new Map<string, Graph>()
    made.set(block.graph, variants)
    const key = saved.map(({ own }) => own).join()
    const graph = variants.get(key) ?? withOwnInputs(block.graph, saved)
    variants.set(key, graph)
    return { ...block, graph }
  })
  return { ...model, blocks }
}
