// Merges by path: adapters may be folders, and the base a directory, file or name. With values
// alone it is graftlm's own merge, which is synchronous.

import { basename } from 'node:path'
import type { Adapter } from '../adapters/adapter.ts'
import type { AdapterTarget } from '../adapters/create-adapter.ts'
import { OptionError } from '../base/errors.ts'
import { isRecord, joinProblems } from '../base/schema.ts'
import { openBaseModel, type BaseModel, type BaseModelSource } from '../graph/base-model.ts'
import { merge as mergeValues, type MergeOptions } from '../merge/merge.ts'
import type { MergeRecipe } from '../merge/method.ts'
import {
  listNames,
  listSources,
  type MergeSources,
  type NamedSource,
} from '../merge/named-adapters.ts'
import { readMergeBase } from '../merge/read-base.ts'
import { resolveWeights } from '../merge/recipe.ts'
import type { MergeBase } from '../merge/sources.ts'
import {
  type LocatedAdapter,
  locateAdapter,
  readLocatedAdapter,
  resolveReadingBase,
} from './located-adapter.ts'
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
 * metadata. A promise where anything must be read. Files of llama.cpp and mlx-lm are read for `base`,
 * else for the base that the adapters name. Throws what that merge and `loadAdapter` throw.
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
  const located = await locateSources(sources)
  const mergeFor = async (ready?: MergeBase): Promise<Adapter> => {
    const { adapters, recipe } = await readSources(located, options, ready?.model)
    return mergeValues(adapters, { ...recipe, ...(ready && { base: ready }) })
  }
  if (typeof base === 'object') return mergeFor(base)
  const source = resolveReadingBase(located.flatMap(listLocated), base)
  if (source === undefined) return mergeFor()
  return withBaseModel(source, async (opened) => {
    const { adapters } = await readSources(located, options, opened)
    return mergeFor(await readMergeBase(opened, adapters))
  })
}

/** An adapter by value, or found on disk, with the key it was given by. */
export interface LocatedSource {
  readonly key: string | undefined
  readonly found: LocatedAdapter | Adapter
}

export const locateSources = (
  sources: MergeSources<Adapter | string>,
): Promise<readonly LocatedSource[]> =>
  Promise.all(
    listSources(sources).map(async ({ source, key }) => ({
      key,
      found: typeof source === 'string' ? await locateAdapter(source) : source,
    })),
  )

/** What is on disk. */
export const listLocated = ({ found }: LocatedSource): LocatedAdapter[] =>
  'source' in found ? [found] : []

/**
 * The adapters in order, and the recipe with its weights in that order. `model` is what files of
 * llama.cpp and mlx-lm are read for.
 */
export async function readSources<Recipe extends MergeRecipe>(
  sources: readonly LocatedSource[],
  recipe: Recipe,
  model?: AdapterTarget,
): Promise<{ readonly adapters: readonly Adapter[]; readonly recipe: Recipe }> {
  const adapters = await Promise.all(
    sources.map(async ({ found }) =>
      'source' in found ? (found.adapter ?? readLocatedAdapter(found, model!)) : found,
    ),
  )
  const { weights } = recipe
  if (!isRecord(weights)) return { adapters, recipe }
  const names = sources.map(({ key, found }, k) => [
    ...new Set([
      ...(key === undefined && 'source' in found ? [found.path, basename(found.path)] : []),
      ...listNames(key, adapters[k]!),
    ]),
  ])
  const problems: string[] = []
  const inOrder = resolveWeights(weights as Readonly<Record<string, number>>, names, problems)
  if (problems.length > 0) throw new OptionError(`Merge: ${joinProblems(problems)}`)
  return { adapters, recipe: { ...recipe, weights: inOrder } }
}

/** Opens a base for the duration of some work. */
export async function withBaseModel<Result>(
  source: string,
  work: (base: BaseModel, files: BaseModelSource) => Promise<Result>,
): Promise<Result> {
  const files = await resolveModel(source)
  const base = await openBaseModel(files)
  try {
    return await work(base, files)
  } finally {
    await base.weights.close()
  }
}
