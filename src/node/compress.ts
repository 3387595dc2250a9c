// Compresses by path: the adapter may be a folder, the base what `loadModel` takes.

import type { Adapter } from '../adapters/adapter.ts'
import type { AdapterTarget } from '../adapters/create-adapter.ts'
import { checkOptions } from '../base/schema.ts'
import {
  compress as compressValues,
  compressOptions,
  type CompressedAdapter,
  type CompressOptions,
} from '../merge/compress.ts'
import type { MergeBase } from '../merge/sources.ts'
import { locateAdapter, readLocatedAdapter, resolveReadingBase } from './located-adapter.ts'
import { readMergeBase } from '../merge/read-base.ts'
import { withBaseModel } from './merge.ts'

export interface CompressFilesOptions extends Omit<CompressOptions, 'base'> {
  /**
   * Needed where the change depends on the base's weights (DoRA, IA3): what `loadModel` takes, or
   * its graph and weights.
   */
  readonly base?: MergeBase | string
}

/**
 * The adapter, or the one in a folder, with every ΔW cut to a lower rank. Throws what compressing
 * and `loadAdapter` throw.
 */
export async function compress(
  adapter: Adapter | string,
  options: CompressFilesOptions,
): Promise<CompressedAdapter> {
  checkOptions('Compress', options, compressOptions)
  const { base, ...rest } = options
  const found = typeof adapter === 'string' ? await locateAdapter(adapter) : adapter
  const isLocated = 'source' in found
  const read = async (model?: AdapterTarget): Promise<Adapter> =>
    isLocated ? (found.adapter ?? readLocatedAdapter(found, model!)) : found
  if (typeof base === 'object') return compressValues(await read(base.model), { ...rest, base })
  const source = resolveReadingBase(isLocated ? [found] : [], base)
  if (source === undefined) return compressValues(await read(), rest)
  return withBaseModel(source, async (opened) => {
    const loaded = await read(opened)
    return compressValues(loaded, { ...rest, base: await readMergeBase(opened, [loaded]) })
  })
}
