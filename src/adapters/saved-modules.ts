// Modules that an adapter trains whole and saves beside its own tensors (PEFT's modules_to_save):
// norms, a head, any linear layer. Their weights become tensors of the adapter under the names they
// have in the base.

import type { Graph, GraphInput } from '../graph/ir.ts'
import type { Block, ModelGraph } from '../graph/model-graph.ts'
import { toSavedInputName } from './keys.ts'

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

/** Which modules an adapter holds whole. */
export interface SavedChoice {
  /** Ends of paths of modules that are trained whole and saved along. */
  readonly modulesToSave?: readonly string[]
  /**
   * Paths of an embedding and a head whose weights the file holds besides, as trainers save them
   * after tokens were added: they replace the base's. Where the base's are one weight, so are these.
   */
  readonly embeddings?: readonly string[]
}

/**
 * PEFT compares ends of paths without regard to dots: 'norm' is every norm. A tied embedding and its
 * head follow each other where one of them replaces the base's weight, and are two copies where
 * modules are trained whole.
 */
function listSavedInputs(
  { graph, prefix, kind }: Block,
  { modulesToSave = [], embeddings = [] }: SavedChoice,
  tied: boolean,
): SavedInput[] {
  const paths = collectReaders(graph)
  return graph.inputs.flatMap((base) => {
    if (base.role !== 'weight') return []
    const path = paths.get(base.name) ?? pathOf(base.name)
    const whole = prefix + path
    const hit = embeddings.includes(whole) || modulesToSave.some((name) => whole.endsWith(name))
    const isTable = tied && (kind === 'embed' || path === 'lm_head')
    const other = !hit && isTable ? embeddings[0] : undefined
    if (!hit && other === undefined) return []
    return [{ base, own: toSavedInputName(other ?? path, partOf(base.name)) }]
  })
}

/**
 * The saved tensors by input name of the composed graph, with the name of the base weight each
 * starts from.
 */
export function listSavedTensors(
  model: ModelGraph,
  choice: SavedChoice,
): Map<string, { readonly base: string; readonly shape: readonly number[] }> {
  const found = new Map<string, { base: string; shape: readonly number[] }>()
  for (const block of model.blocks)
    for (const { base, own } of listSavedInputs(block, choice, model.config.tiedEmbeddings))
      found.set(block.prefix + own, {
        base: block.prefix + base.name,
        shape: base.shape as readonly number[],
      })
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
export function withSavedModules(model: ModelGraph, choice: SavedChoice): ModelGraph {
  const { modulesToSave = [], embeddings = [] } = choice
  if (modulesToSave.length + embeddings.length === 0) return model
  const made = new Map<Graph, Map<string, Graph>>()
  const blocks = model.blocks.map((block) => {
    const saved = listSavedInputs(block, choice, model.config.tiedEmbeddings)
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
