// Extracts by path: the adapter between two models, each named as `loadModel` takes it.

import type { Adapter } from '../adapters/adapter.ts'
import { baseHashKey } from '../adapters/base-copy.ts'
import { openBaseModel } from '../graph/base-model.ts'
import {
  checkExtractOptions,
  extract as extractBetween,
  type ExtractedAdapter,
  type ExtractOptions,
} from '../merge/extract.ts'
import { getBaseName } from './models/base-name.ts'
import { resolveModel } from './models/resolve.ts'

/**
 * The LoRA that turns one model into another that was tuned from it: `extract('base', 'tuned', {
 * rank: 16 })`. Throws OptionError, MismatchError if the two are not of one form, NumericError, and
 * what opening them throws.
 */
export async function extract(
  base: string,
  tuned: string,
  options: ExtractOptions,
): Promise<ExtractedAdapter> {
  checkExtractOptions(options)
  const from = await openBaseModel(await resolveModel(base))
  try {
    const to = await openBaseModel(await resolveModel(tuned))
    try {
      const extracted = await extractBetween(from, to, options)
      const adapter: Adapter = {
        ...extracted.adapter,
        baseModel: getBaseName(base), // as PEFT writes it
        metadata: { [baseHashKey]: await from.identity() },
      }
      return { ...extracted, adapter }
    } finally {
      await to.weights.close()
    }
  } finally {
    await from.weights.close()
  }
}
