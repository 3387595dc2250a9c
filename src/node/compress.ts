// Compresses by path: the adapter may be a folder, the base what `loadModel` takes.

import type { Adapter } from '../adapters/adapter.ts'
import { checkOptions } from '../base/schema.ts'
import {
  compress as compressValues,
  compressOptions,
  type CompressedAdapter,
  type CompressOptions,
} from '../merge/compress.ts'
import type { MergeBase } from '../merge/sources.ts'
import { loadAdapter } from './adapters.ts'
import { loadMergeBase } from './merge.ts'

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
  const loaded = typeof adapter === 'string' ? await loadAdapter(adapter) : adapter
  const ready = typeof base === 'string' ? await loadMergeBase(base, [loaded]) : base
  return compressValues(loaded, { ...rest, ...(ready && { base: ready }) })
}
