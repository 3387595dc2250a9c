// Merges by path: adapters may be folders, and the base a directory, file or name. With values
// alone it is graftlm's own merge, which needs no waiting.

import { basename } from 'node:path'
import { type Adapter, checkAdapter } from '../adapters/adapter.ts'
import { checkBaseCopies } from '../adapters/base-copy.ts'
import { getKind } from '../adapters/kinds/kind-table.ts'
import { listBlockLayers } from '../adapters/adapted-layers.ts'
import { isBlockType } from '../base/dtype.ts'
import { OptionError } from '../base/errors.ts'
import type { Tensor } from '../base/tensor.ts'
import { isRecord, joinProblems } from '../base/schema.ts'
import { openBaseModel, type BaseModel } from '../graph/base-model.ts'
import { readWeights } from '../graph/read-weights.ts'
import { merge as mergeValues, type MergeOptions } from '../merge/merge.ts'
import type { MergeRecipe } from '../merge/method.ts'
import {
  listNames,
  listSources,
  type MergeSources,
  type NamedSource,
} from '../merge/named-adapters.ts'
import { resolveWeights } from '../merge/recipe.ts'
import type { MergeBase } from '../merge/sources.ts'
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
 * makes it. Weights by name use the key, the path, the folder's name or the name in the adapter's
 * metadata. A promise where anything must be read. Throws what that merge and `loadAdapter` throw.
 */
export function merge(adapters: MergeSources, options?: MergeOptions): Adapter
export function merge(
  adapters: MergeSources<Adapter | string>,
  options?: MergeFilesOptions,
): Promise<Adapter>
export function merge(
  adapters: MergeSources<Adapter | string>,
  options: MergeFilesOptions = {},
): Adapter | Promise<Adapter> {
  return typeof options.base !== 'string' && listSources(adapters).every(isLoaded)
    ? mergeValues(adapters as MergeSources, options as MergeOptions)
    : mergeFiles(adapters, options)
}

const isLoaded = ({ source }: NamedSource<Adapter | string>): boolean => typeof source !== 'string'

async function mergeFiles(
  sources: MergeSources<Adapter | string>,
  { base, ...options }: MergeFilesOptions,
): Promise<Adapter> {
  const { adapters, recipe } = await loadSources(sources, options)
  const ready = typeof base === 'string' ? await loadMergeBase(base, adapters) : base
  return mergeValues(adapters, { ...recipe, ...(ready && { base: ready }) })
}

/** The adapters in order, and the recipe with its weights in that order. */
export async function loadSources<Recipe extends MergeRecipe>(
  sources: MergeSources<Adapter | string>,
  recipe: Recipe,
): Promise<{ readonly adapters: readonly Adapter[]; readonly recipe: Recipe }> {
  const loaded = await Promise.all(
    listSources(sources).map(async ({ source, key }) => ({
      path: typeof source === 'string' ? source : undefined,
      key,
      adapter: typeof source === 'string' ? await loadAdapter(source) : source,
    })),
  )
  const adapters = loaded.map(({ adapter }) => adapter)
  const { weights } = recipe
  if (!isRecord(weights)) return { adapters, recipe }
  const names = loaded.map(({ path, key, adapter }) => [
    ...new Set([
      ...(key === undefined && path !== undefined ? [path, basename(path)] : []),
      ...listNames(key, adapter),
    ]),
  ])
  const problems: string[] = []
  const inOrder = resolveWeights(weights as Readonly<Record<string, number>>, names, problems)
  if (problems.length > 0) throw new OptionError(`Merge: ${joinProblems(problems)}`)
  return { adapters, recipe: { ...recipe, weights: inOrder } }
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
  // weights in blocks stay so where an adapter has a copy, which is compared less strictly then
  const inBlocks = new Map<string, Tensor>()
  const read = async (name: string): Promise<Tensor> => {
    const tensor = await base.weights.read(name)
    if (isBlockType(tensor.dtype)) inBlocks.set(name, tensor)
    return tensor
  }
  for (const adapter of adapters) await checkBaseCopies(adapter, model, read)
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
  return { model, weightOf: (name) => inBlocks.get(name) ?? weights.get(name)! }
}
