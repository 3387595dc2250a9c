// Modules that an adapter trains whole and saves with its own tensors (PEFT's modules_to_save):
// norms, a head, any linear layer. Their weights become tensors of the adapter with the base's
// names.

import type { Graph, GraphInput } from '../graph/ir.ts'
import type { Block, ModelGraph } from '../graph/model-graph.ts'
import { headPath, toSavedInputName } from './keys.ts'

/** A weight or bias of a saved module. */
interface SavedInput {
  /** Name of the base's input in the block's graph. */
  readonly base: GraphInput
  /**
   * The adapter's name: the module's path and the part. It differs from the base's only if the head
   * is tied.
   */
  readonly own: string
}

const partOf = (name: string): string => name.slice(name.lastIndexOf('.') + 1)
const pathOf = (name: string): string => name.slice(0, name.lastIndexOf('.'))

/**
 * By weight, the paths inside the block of the modules that read it; for a tied head, the head's
 * path and not the embedding's.
 */
function collectReaders({ nodes }: Graph): Map<string, string> {
  return new Map(
    nodes.flatMap(({ attributes, inputs }) => {
      const { module } = attributes
      return typeof module === 'string' ? inputs.map(({ name }) => [name, module] as const) : []
    }),
  )
}

/** Token ids of the embedding, or by the end of a module's path: 'embed_tokens', 'lm_head'. */
export type TokenChoice = readonly number[] | Readonly<Record<string, readonly number[]>>

/** The modules that an adapter stores whole, and those of which it stores single rows. */
export interface SavedChoice {
  /** Tokens whose rows of the embedding or the head are trained; see trainable-tokens.ts. */
  readonly trainableTokens?: TokenChoice
  /** Ends of paths of modules that are trained whole and saved with the adapter. */
  readonly modulesToSave?: readonly string[]
  /**
   * Paths of an embedding and a head whose weights are also in the file, because trainers save them
   * after tokens were added. They replace the base's, and are one weight if the base's are.
   */
  readonly embeddings?: readonly string[]
  /**
   * Whether the adapter's tensors of the embedding also act on a head with the same weight (PEFT's
   * ensure_weight_tying). They are in the adapter's file under both names.
   */
  readonly ensureWeightTying?: boolean
}

export const isTokenList = (choice: TokenChoice): choice is readonly number[] =>
  Array.isArray(choice)

/** The tokens whose rows an adapter has at a module; none for undefined. */
export function findTokens(
  choice: TokenChoice | undefined,
  path: string,
): readonly number[] | undefined {
  if (choice === undefined) return undefined
  if (isTokenList(choice)) return path === headPath ? undefined : choice
  return Object.entries(choice).find(([name]) => path === name || path.endsWith(`.${name}`))?.[1]
}

/** Whether a module is one of those that are trained whole: 'norm' is every norm, as in PEFT. */
export const isSavedWhole = ({ modulesToSave = [] }: SavedChoice, path: string): boolean =>
  modulesToSave.some((name) => path.endsWith(name))

/** Names of modules with the embedding in place of a head that shares it, as PEFT writes them. */
export function replaceTiedHead(names: readonly string[]): readonly string[] {
  const others = names.filter((name) => name !== headPath)
  const hasEmbedding = others.some((name) => /(^|\.)embed_tokens$/.test(name))
  return others.length === names.length || hasEmbedding ? others : [...others, 'embed_tokens']
}

/** The tensor that a tied embedding and head share in the adapter; undefined if they do not. */
function findShared(choice: SavedChoice, { config, blocks }: ModelGraph): string | undefined {
  if (!config.tiedEmbeddings) return undefined
  const { embeddings = [], ensureWeightTying = false } = choice
  if (!ensureWeightTying) return embeddings[0]
  const paths = blocks.flatMap(({ kind, graph }) =>
    kind === 'embed' ? [...collectReaders(graph).values()] : [],
  )
  return paths.find((path) => isSavedWhole(choice, path)) ?? embeddings[0]
}

/**
 * A tied embedding and head stay one weight if one of them replaces the base's weight, or if the
 * adapter ties them. Otherwise modules that are trained whole become two copies.
 */
function listSavedInputs(
  { graph, prefix, kind }: Block,
  choice: SavedChoice,
  shared: string | undefined,
): SavedInput[] {
  const paths = collectReaders(graph)
  const { embeddings = [], ensureWeightTying = false } = choice
  return graph.inputs.flatMap((base) => {
    if (base.role !== 'weight') return []
    const path = paths.get(base.name) ?? pathOf(base.name)
    const whole = prefix + path
    const hit = embeddings.includes(whole) || isSavedWhole(choice, whole)
    const isTable = kind === 'embed' || path === headPath
    const other = isTable && (!hit || ensureWeightTying) ? shared : undefined
    if (!hit && other === undefined) return []
    return [{ base, own: toSavedInputName(other ?? path, partOf(base.name)) }]
  })
}

/** The modules that have weights or biases, which are those that can be saved whole. */
export const listSaveableModules = (model: ModelGraph): { readonly path: string }[] =>
  model.blocks.flatMap(({ graph, prefix }) => {
    const readers = collectReaders(graph)
    const paths = graph.inputs.flatMap(({ name, role }) =>
      role === 'weight' ? [prefix + (readers.get(name) ?? pathOf(name))] : [],
    )
    return [...new Set(paths)].map((path) => ({ path }))
  })

/**
 * The saved tensors by input name of the composed graph, with the name of the base weight each
 * starts from.
 */
export function listSavedTensors(
  model: ModelGraph,
  choice: SavedChoice,
): Map<string, { readonly base: string; readonly shape: readonly number[] }> {
  const found = new Map<string, { base: string; shape: readonly number[] }>()
  const shared = findShared(choice, model)
  for (const block of model.blocks)
    for (const { base, own } of listSavedInputs(block, choice, shared))
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
 * The model with the saved modules' weights as inputs of the adapter. Layers with equal results
 * share one graph.
 */
export function withSavedModules(model: ModelGraph, choice: SavedChoice): ModelGraph {
  const { modulesToSave = [], embeddings = [] } = choice
  if (modulesToSave.length + embeddings.length === 0) return model
  const made = new Map<Graph, Map<string, Graph>>()
  const shared = findShared(choice, model)
  const blocks = model.blocks.map((block) => {
    const saved = listSavedInputs(block, choice, shared)
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
