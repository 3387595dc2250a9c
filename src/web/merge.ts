// Merges in a browser: adapters may be URLs, files or folders, and the base an open model. If all
// adapters are values, it is graftlm's own merge, which is synchronous.

import type { Adapter } from '../adapters/adapter.ts'
import { isTensorMap } from '../adapters/packed/tensor-map.ts'
import { isRecord } from '../base/schema.ts'
import type { BaseModel } from '../graph/base-model.ts'
import { merge as mergeValues, type MergeOptions } from '../merge/merge.ts'
import { listSources, type MergeSources } from '../merge/named-adapters.ts'
import { readMergeBase } from '../merge/read-base.ts'
import type { MergeBase } from '../merge/sources.ts'
import { loadAdapter } from './adapters.ts'
import type { WebSource } from './sources/open-source.ts'

export interface MergeWebOptions extends Omit<MergeOptions, 'base'> {
  /**
   * A base to check the adapters against, needed where a change depends on its weights: a model, or
   * its graph and weights.
   */
  readonly base?: MergeBase | { readonly base: BaseModel }
}

const isAdapter = (source: unknown): source is Adapter =>
  isRecord(source) && isTensorMap(source['tensors'])

const isModel = (base: MergeWebOptions['base']): base is { readonly base: BaseModel } =>
  base !== undefined && 'base' in base

/**
 * One LoRA adapter from several of one base, as with `merge` of graftlm: from adapters, or sources
 * that `loadAdapter` accepts. Returns a promise if anything must be read. Throws what that merge
 * and `loadAdapter` throw.
 */
export function merge(adapters: MergeSources, options?: MergeOptions): Adapter
export function merge(
  adapters: MergeSources<Adapter | WebSource>,
  options?: MergeWebOptions,
): Promise<Adapter>
export function merge(
  adapters: MergeSources<Adapter | WebSource>,
  options: MergeWebOptions = {},
): Adapter | Promise<Adapter> {
  const isRead =
    !isModel(options.base) && listSources(adapters).every(({ source }) => isAdapter(source))
  return isRead
    ? mergeValues(adapters as MergeSources, options as MergeOptions)
    : mergeRead(adapters, options)
}

async function mergeRead(
  sources: MergeSources<Adapter | WebSource>,
  { base, ...options }: MergeWebOptions,
): Promise<Adapter> {
  const model = isModel(base) ? base.base : undefined
  const listed = listSources(sources)
  const adapters = await Promise.all(
    listed.map(async ({ source }) => (isAdapter(source) ? source : loadAdapter(source, { model }))),
  )
  const keys = listed.map(({ key }) => key)
  const given = keys.every((key) => key !== undefined)
    ? Object.fromEntries(keys.map((key, k) => [key, adapters[k]!]))
    : adapters
  const ready = isModel(base) ? await readMergeBase(base.base, adapters) : base
  return mergeValues(given, { ...options, ...(ready && { base: ready }) })
}
