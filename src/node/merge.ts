// Merging by path: adapters may be folders, and the base a directory, file or name. With values
// alone it is graftlm's own merge, and as immediate.

import { type Adapter, checkAdapter } from '../adapters/adapter.ts'
import { getKind } from '../adapters/kinds/kind-table.ts'
import { listBlockLayers } from '../adapters/adapted-layers.ts'
import { openBaseModel, type BaseModel } from '../graph/base-model.ts'
import { readWeights } from '../graph/read-weights.ts'
import {
  merge as mergeValues,
  type MergeBase,
  type MergeOptions,
  type MergeRecipe,
} from '../merge/index.ts'
import { loadAdapter } from './adapters.ts'
import { resolveModel } from './models/resolve.ts'

export interface MergeFilesOptions extends Omit<MergeOptions, 'base'> {
  /**
   * A base to check the adapters against, needed where a change depends on its weights; what
   * `loadModel` takes, or its graph and weights.
   */
  readonly base?: MergeBase | string
}

/**
 * One LoRA adapter from several adapters or adapter folders of one base, as `merge` of graftlm
 * makes it. A promise where anything must be read. Throws what that merge and `loadAdapter` throw.
 */
export function merge(
  adapters: readonly Adapter[],
  recipe: MergeRecipe,
  options?: MergeOptions,
): Adapter
export function merge(
  adapters: readonly (Adapter | string)[],
  recipe: MergeRecipe,
  options?: MergeFilesOptions,
): Promise<Adapter>
export function merge(
  adapters: readonly (Adapter | string)[],
  recipe: MergeRecipe,
  { base, ...rest }: MergeFilesOptions = {},
): Adapter | Promise<Adapter> {
  if (typeof base !== 'string' && adapters.every(isLoaded))
    return mergeValues(adapters, recipe, { ...rest, ...(base && { base }) })
  return mergeFiles(adapters, recipe, { ...rest, ...(base && { base }) })
}

const isLoaded = (adapter: Adapter | string): adapter is Adapter => typeof adapter !== 'string'

async function mergeFiles(
  sources: readonly (Adapter | string)[],
  recipe: MergeRecipe,
  { base, ...rest }: MergeFilesOptions,
): Promise<Adapter> {
  const adapters = await Promise.all(
    sources.map((source) => (isLoaded(source) ? source : loadAdapter(source))),
  )
  const ready = typeof base === 'string' ? await loadMergeBase(base, adapters) : base
  return mergeValues(adapters, recipe, { ...rest, ...(ready && { base: ready }) })
}

export async function loadMergeBase(
  source: string,
  adapters: readonly Adapter[],
): Promise<MergeBase> {
  const base = await openBaseModel(await resolveModel(source))
  try {
    return await readMergeBase(base, adapters)
  } finally {
    await base.weights.close()
  }
}

/** The base's graph, and of its weights those on which a change depends: LoRA's never does. */
export async function readMergeBase(
  base: BaseModel,
  adapters: readonly Adapter[],
): Promise<MergeBase> {
  const { graph: model } = base
  const dependent = adapters.filter(({ kind }) => kind !== 'lora')
  if (dependent.length === 0) return { model }
  for (const adapter of dependent) checkAdapter(adapter, model)
  const names = model.blocks.flatMap((block) =>
    listBlockLayers(block).flatMap(({ module, weight, bias }) => {
      if (
        !dependent.some(({ kind, config }) => getKind(kind).parameters(config, module).length > 0)
      )
        return []
      return [weight, bias].flatMap((value) => (value ? [block.prefix + value.name] : []))
    }),
  )
  const weights = await readWeights(base, new Set(names))
  return { model, weightOf: (name) => weights.get(name)! }
}
