// Extraction by path: the adapter between two models that are named as `loadModel` takes them.

import type { Adapter } from '../adapters/adapter.ts'
import { openBaseModel } from '../graph/base-model.ts'
import { extract as between, type ExtractedAdapter, type ExtractOptions } from '../merge/index.ts'
import { getBaseName } from './models/base-name.ts'
import { resolveModel } from './models/resolve.ts'

/**
 * The LoRA that leads from one model to another that was tuned from it: `extract('base', 'tuned', {
 * rank: 16 })`. Throws OptionError, MismatchError where the two are not of one form, NumericError,
 * and what opening them throws.
 */
export async function extract(
  base: string,
  tuned: string,
  options: ExtractOptions,
): Promise<ExtractedAdapter> {
  const from = await openBaseModel(await resolveModel(base))
  try {
    const to = await openBaseModel(await resolveModel(tuned))
    try {
      const extracted = await between(from, to, options)
      // what PEFT would call it
      const adapter: Adapter = { ...extracted.adapter, baseModel: getBaseName(base) }
      return { ...extracted, adapter }
    } finally {
      await to.weights.close()
    }
  } finally {
    await from.weights.close()
  }
}
