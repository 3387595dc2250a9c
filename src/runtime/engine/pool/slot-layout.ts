// Where the low-rank factors of a model's linear layers are in a slot. A slot has one place for
// each module with its own inputs in a serving program; a stacked module covers several layers.
// Independent of programs: their stacks are passed in.

import type { ModelGraph } from '../../../graph/model-graph.ts'
import { listAdaptableModules } from '../../../adapters/adapted-layers.ts'
import { cutIntoUnits, type PartUnits } from '../../../adapters/serving/part-units.ts'

/** One linear layer of the model, inside its module. */
export interface SlotPart {
  /** The layer's module path, by which serving weights are known. */
  readonly path: string
  readonly outFeatures: number
}

/**
 * A module that a program has inputs `<name>.A` and `<name>.B` for. A of a slot is [R·parts, in], B
 * is [out, R]: the parts are concatenated along the rows.
 */
export interface SlotModule {
  readonly name: string
  readonly inFeatures: number
  /** The sum over the parts. */
  readonly outFeatures: number
  readonly parts: readonly SlotPart[]
  /** How programs see the rows of B. */
  readonly units: PartUnits
}

export type SlotLayout = readonly SlotModule[]

/** Layers that share one product, as programs/stack-linears.ts makes them. */
interface StackedLayers {
  readonly module: string
  readonly parts: readonly { readonly module: string; readonly outFeatures: number }[]
}

/** The linear layers inside the model's layers, those of a stack as one module. */
export function createSlotLayout(model: ModelGraph, stacks: readonly StackedLayers[]): SlotLayout {
  const stackOf = new Map(
    stacks.flatMap((stack) => stack.parts.map(({ module }) => [module, stack] as const)),
  )
  const modules = new Map<string, SlotModule>()
  for (const { path, kind, layer, inFeatures, outFeatures } of listAdaptableModules(model)) {
    if (kind !== 'linear' || layer === undefined) continue
    const { module: name, parts } = stackOf.get(path) ?? {
      module: path,
      parts: [{ module: path, outFeatures }],
    }
    modules.set(name, {
      name,
      inFeatures,
      outFeatures: parts.reduce((sum, part) => sum + part.outFeatures, 0),
      parts: parts.map((part) => ({ path: part.module, outFeatures: part.outFeatures })),
      units: cutIntoUnits(parts.map((part) => part.outFeatures)),
    })
  }
  return [...modules.values()]
}

/** How many values A and B of one slot have. */
export const countSlotNumbers = (layout: SlotLayout, rank: number): number =>
  layout.reduce(
    (sum, { inFeatures, outFeatures, parts }) =>
      sum + rank * (parts.length * inFeatures + outFeatures),
    0,
  )
