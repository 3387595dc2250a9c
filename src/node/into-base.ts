// Merging into a base by path: adapters may be folders, the base anything that loads, and the
// result is a folder or a .gguf file. What was written is opened again and compared with base and
// adapters, so that nobody has to guess what rounding has cost.

import { basename, dirname } from 'node:path'
import type { Adapter } from '../adapters/adapter.ts'
import { openBaseModel, type BaseModelSource } from '../graph/base-model.ts'
import { foldedBase, foldParts, isPlainSum, mergeIntoBase as write } from '../merge/index.ts'
import type {
  FoldPart,
  IntoBaseResult,
  MergedType,
  MergeRecipe,
  OpenedBase,
} from '../merge/index.ts'
import {
  createModel,
  predictionDistance,
  type Model,
  type PredictionDistance,
  probesFor,
} from '../runtime/index.ts'
import { loadAdapter } from './adapters.ts'
import { nodeBackend } from './backend.ts'
import { fileSink } from './files/file-sink.ts'
import { baseForMerge } from './merge.ts'
import { resolveModel } from './models/resolve.ts'
import { wholeOrGone } from './files/atomic-write.ts'

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
  /** How several adapters become one; their exact weighted sum unless said. */
  readonly recipe?: MergeRecipe | undefined
  /** Also adapters that learned on different forms of the base. */
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

export interface IntoBaseReport extends IntoBaseResult {
  readonly out: string
  /** How far the written model's next tokens lie from those of exactly merged weights. */
  readonly distance?: PredictionDistance
  /** How far those of the base do, for comparison: what the adapters are there for. */
  readonly change?: PredictionDistance
}

const usualPrompts = 8

/**
 * Writes the base with the adapters in its weights as a model of its own. Throws UnsupportedError
 * for adapters without a weight (soft prompts, aLoRA), MismatchError for those that do not fit,
 * NumericError for NaN, OptionError where `out` exists, StorageError; then nothing is left at
 * `out`.
 */
export async function mergeIntoBase(
  adapters: readonly (Adapter | string)[],
  options: IntoBaseFilesOptions,
): Promise<IntoBaseReport> {
  const {
    base,
    out,
    recipe = { method: 'weighted' },
    anyBase = false,
    dtype,
    prompts = usualPrompts,
    onProgress,
  } = options
  const loaded = await Promise.all(
    adapters.map((adapter) => (typeof adapter === 'string' ? loadAdapter(adapter) : adapter)),
  )
  const parts = await partsFor(loaded, recipe, base, anyBase)
  return wholeOrGone(out, async () => {
    const gguf = out.endsWith('.gguf')
    const sink = fileSink(gguf ? dirname(out) : out)
    const result = await withBase(base, (opened) =>
      write(opened, parts, sink, {
        ...(gguf && { ggufName: basename(out) }),
        dtype,
        onTensor: (detail, done, total) => onProgress?.({ stage: 'writing', done, total, detail }),
      }),
    )
    return { out, ...result, ...(prompts > 0 && (await distances(parts, options, prompts))) }
  })
}

/** Only recipes that merge first need the base's numbers, and those of some modules at once. */
const partsFor = async (
  adapters: readonly Adapter[],
  recipe: MergeRecipe,
  source: string,
  anyBase: boolean,
): Promise<FoldPart[]> =>
  isPlainSum(recipe)
    ? foldParts(adapters, recipe, { anyBase })
    : withBase(source, async ({ base }) =>
        foldParts(adapters, recipe, { anyBase, base: await baseForMerge(base, adapters) }),
      )

async function withBase<Result>(
  name: string,
  work: (opened: OpenedBase) => Promise<Result>,
): Promise<Result> {
  const source = await resolveModel(name)
  const base = await openBaseModel(source)
  try {
    return await work({ base, source })
  } finally {
    await base.weights.close()
  }
}

/** One model at a time is open. */
async function distances(
  parts: readonly FoldPart[],
  { base, out, threads, onProgress }: IntoBaseFilesOptions,
  count: number,
): Promise<Required<Pick<IntoBaseReport, 'distance' | 'change'>>> {
  let done = 0
  const next = async (name: string, adapted: readonly FoldPart[]): Promise<Float32Array[]> => {
    const { model, adapter } = await openWith(await resolveModel(name), adapted, threads)
    try {
      const logits: Float32Array[] = []
      for (const prompt of probesFor(model.base, count)) {
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
    distance: predictionDistance(expected, await next(out, [])),
    change: predictionDistance(expected, await next(base, [])),
  }
}

/**
 * The base serving a single adapter beside its packed weights, which costs no memory; several are
 * folded into weights in f32.
 */
async function openWith(
  source: BaseModelSource,
  parts: readonly FoldPart[],
  threads: number | undefined,
) {
  const base = await openBaseModel(source)
  const backend = await nodeBackend({ threads })
  const [only] = parts
  const served = parts.length === 1 && only!.weight === 1 ? only!.adapter : undefined
  const folded = served || parts.length === 0 ? base : { ...base, ...foldedBase(base, parts) }
  const model: Model = createModel({ base: { ...folded, config: folded.graph.config }, backend })
  return { model, adapter: served }
}
