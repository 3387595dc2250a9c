// Merges into a base by path: adapters may be folders, the base anything that loads, and the result
// is a folder or a .gguf file. The written model is opened again and compared with base and
// adapters, to measure the cost of rounding.

import { basename, dirname } from 'node:path'
import type { Adapter } from '../adapters/adapter.ts'
import { openBaseModel, type BaseModelSource } from '../graph/base-model.ts'
import {
  checkOptions,
  flag,
  naturalNumber,
  oneOf,
  positiveInteger,
  record,
  string,
  unchecked,
} from '../base/schema.ts'
import {
  createMergedBase,
  isPlainSum,
  mergedTypes,
  mergeIntoBase as write,
  type MergedType,
  type MergeIntoBaseResult,
  resolveWeightedAdapters,
} from '../merge/into-base/merge-into-base.ts'
import type { WeightedAdapter } from '../merge/into-base/merged-weights.ts'
import type { MergeRecipe } from '../merge/method.ts'
import type { MergeSources } from '../merge/named-adapters.ts'
import {
  createModel,
  measurePredictionDistance,
  type Model,
  type PredictionDistance,
  selectProbePrompts,
} from '../runtime/index.ts'
import { createNodeBackend } from './backend.ts'
import { createFileSink } from './files/file-sink.ts'
import { readMergeBase } from '../merge/read-base.ts'
import { listLocated, locateSources, readSources, withBaseModel } from './merge.ts'
import { resolveModel } from './models/resolve.ts'
import { writeAtomically } from './files/atomic-write.ts'

export interface IntoBaseProgress {
  readonly stage: 'writing' | 'comparing'
  readonly done: number
  readonly total: number
  readonly detail: string
}

export interface IntoBaseFilesOptions {
  /** The base: what `loadModel` takes. */
  readonly base: string
  /** Where the model goes: a folder, or a file that ends in .gguf. It must not exist yet. */
  readonly out: string
  /** How several adapters become one. Default: their exact weighted sum. */
  readonly recipe?: MergeRecipe | undefined
  /** Also adapters that were trained on different forms of the base. */
  readonly anyBase?: boolean | undefined
  /**
   * Another element type than the base's: of all tensors of a folder, of those that change in a
   * GGUF.
   */
  readonly dtype?: MergedType | undefined
  /**
   * After how many prompts the written model is compared with base and adapters. Default 8; 0: not
   * at all.
   */
  readonly prompts?: number | undefined
  readonly threads?: number | undefined
  readonly onProgress?: ((progress: IntoBaseProgress) => void) | undefined
}

export interface IntoBaseReport extends MergeIntoBaseResult {
  readonly out: string
  /** Distance of the written model's next tokens from those of exactly merged weights. */
  readonly distance?: PredictionDistance
  /** The same distance of the base, for comparison: what the adapters change. */
  readonly change?: PredictionDistance
}

const defaultPrompts = 8

const optionFields = {
  base: string({ filled: true }),
  out: string({ filled: true }),
  recipe: record,
  anyBase: flag(),
  dtype: oneOf(mergedTypes),
  prompts: naturalNumber,
  threads: positiveInteger,
  onProgress: unchecked('a function that is called as the work proceeds'),
}

/**
 * Writes the base with the adapters in its weights as a complete model. Throws UnsupportedError for
 * adapters without a weight (soft prompts, aLoRA), MismatchError for those that do not fit,
 * NumericError for NaN, OptionError if `out` exists, StorageError; then nothing is left at
 * `out`.
 */
export async function mergeIntoBase(
  adapters: MergeSources<Adapter | string>,
  options: IntoBaseFilesOptions,
): Promise<IntoBaseReport> {
  checkOptions('Merge into a base', options, optionFields)
  const { base, out, dtype, prompts = defaultPrompts, onProgress } = options
  const parts = await prepareParts(adapters, options)
  return writeAtomically(out, async (place) => {
    const gguf = place.endsWith('.gguf')
    const sink = createFileSink(gguf ? dirname(place) : place)
    const result = await withBaseModel(base, (opened, source) =>
      write({ base: opened, source }, parts, sink, {
        ...(gguf && { ggufName: basename(place) }),
        dtype,
        anyBase: options.anyBase,
        onTensor: (detail, done, total) => onProgress?.({ stage: 'writing', done, total, detail }),
      }),
    )
    return {
      out,
      ...result,
      ...(prompts > 0 && (await measureDistances(parts, { ...options, out: place }, prompts))),
    }
  })
}

/** Only recipes that merge first need the base's numbers, and those of some modules at once. */
async function prepareParts(
  sources: MergeSources<Adapter | string>,
  { base: source, recipe: given = {}, anyBase = false }: IntoBaseFilesOptions,
): Promise<WeightedAdapter[]> {
  const located = await locateSources(sources)
  const isSum = isPlainSum(given)
  if (isSum && located.flatMap(listLocated).every(({ adapter }) => adapter)) {
    const { adapters, recipe } = await readSources(located, given)
    return resolveWeightedAdapters(adapters, { ...recipe, anyBase })
  }
  return withBaseModel(source, async (base) => {
    const { adapters, recipe } = await readSources(located, given, base)
    const read = isSum ? undefined : await readMergeBase(base, adapters)
    return resolveWeightedAdapters(adapters, { ...recipe, anyBase, ...(read && { base: read }) })
  })
}

/** One model at a time is open. */
async function measureDistances(
  parts: readonly WeightedAdapter[],
  { base, out, threads, onProgress }: IntoBaseFilesOptions,
  count: number,
): Promise<Required<Pick<IntoBaseReport, 'distance' | 'change'>>> {
  let done = 0
  const next = async (
    name: string,
    adapted: readonly WeightedAdapter[],
  ): Promise<Float32Array[]> => {
    const { model, adapter } = await openMergedModel(await resolveModel(name), adapted, threads)
    try {
      const logits: Float32Array[] = []
      for (const prompt of selectProbePrompts(model.base, count)) {
        onProgress?.({ stage: 'comparing', done: done++, total: 3 * count, detail: '' })
        logits.push(...(await model.nextLogits([model.encode(prompt)], 'exact', { adapter })))
      }
      return logits
    } finally {
      await model.dispose()
    }
  }
  const expected = await next(base, parts)
  return {
    distance: measurePredictionDistance(expected, await next(out, [])),
    change: measurePredictionDistance(expected, await next(base, [])),
  }
}

/**
 * The base with the adapters: a single one is served from the packed weights, which costs no
 * memory; several are merged into weights in f32.
 */
async function openMergedModel(
  source: BaseModelSource,
  parts: readonly WeightedAdapter[],
  threads: number | undefined,
) {
  const base = await openBaseModel(source)
  const backend = await createNodeBackend({ threads })
  const [only] = parts
  const served = parts.length === 1 && only!.weight === 1 ? only!.adapter : undefined
  const merged = served || parts.length === 0 ? base : { ...base, ...createMergedBase(base, parts) }
  const model: Model = createModel({ base: { ...merged, config: merged.graph.config }, backend })
  return { model, adapter: served }
}
