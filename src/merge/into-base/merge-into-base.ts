// Merges adapters into a base's weights and writes a complete model, in the Hugging Face layout or
// as GGUF. One weight at a time is in memory. The base does not change.

import type { DType } from '../../base/dtype.ts'
import { MismatchError, OptionError, UnsupportedError } from '../../base/errors.ts'
import { checkOptions, flag, oneOf, string, unchecked } from '../../base/schema.ts'
import { type AdapterText, checkAdapter } from '../../adapters/adapter.ts'
import { checkBaseCopies, checkBaseHash } from '../../adapters/base-copy.ts'
import type { ByteSink } from '../../formats/byte-source.ts'
import { openGguf } from '../../formats/gguf/reader.ts'
import type { GgufFile } from '../../formats/gguf/types.ts'
import { copyGguf, type GgufChange } from '../../formats/gguf/copy.ts'
import {
  readGgufArchitecture,
  type GgufTensorMapping,
  mapGgufTensors,
  toGgufName,
} from '../../formats/gguf/names.ts'
import type { TensorStore } from '../../formats/tensor-store.ts'
import type { BaseModel, BaseModelSource } from '../../graph/base-model.ts'
import {
  readFolderText,
  readGgufText,
  writeHuggingFaceFolder,
  type FloatChoice,
} from '../../graph/hugging-face-folder.ts'
import {
  createMergedWeights,
  resolveOwnType,
  type MergedTensor,
  type MergedWeightsOptions,
  type WeightedAdapter,
} from './merged-weights.ts'
import { merge, type MergeOptions } from '../merge.ts'
import { findCommonText } from '../merged-metadata.ts'
import type { MergeRecipe } from '../method.ts'
import { listAdapters, type MergeSources } from '../named-adapters.ts'
import { getMergeMethod, completeRecipe } from '../recipe.ts'
import { listBaseMismatches, sameBaseHint } from '../sources.ts'
import { needsUntying, untieHead, type GraphAndWeights, type UntiedBase } from './untie-head.ts'

/** A base, and the files that it was opened from. */
export interface BaseWithSource {
  readonly base: BaseModel
  readonly source: BaseModelSource
}

/** Types that changed tensors can be written in; a folder takes the first three. */
export const mergedTypes = ['f32', 'f16', 'bf16', 'q8_0'] as const
export type MergedType = (typeof mergedTypes)[number]

export interface MergeIntoBaseOptions {
  /** The name of the GGUF file to write; without it the sink becomes a model folder. */
  readonly ggufName?: string | undefined
  /**
   * A folder: the type of every tensor; else a folder's tensors keep their own, and those of a GGUF
   * become f32. A GGUF: the type of the tensors that change; else they keep their own where Graft
   * can write it (q4_0, q4_1, q8_0), and become f16 where not.
   */
  readonly dtype?: MergedType | undefined
  /** Also adapters that learned on weights of another hash, such as another quantisation. */
  readonly anyBase?: boolean | undefined
  /** Called as tensors are read. */
  readonly onTensor?: (name: string, done: number, count: number) => void
}

const intoBaseOptions = {
  ggufName: string({ filled: true }),
  dtype: oneOf(mergedTypes),
  anyBase: flag(),
  onTensor: unchecked('a function that is called as tensors are read'),
}

export interface MergeIntoBaseResult {
  readonly format: 'safetensors' | 'gguf'
  readonly tensors: number
  /** Of the tensors' data. */
  readonly sizeBytes: number
  /**
   * The tensors that hold the adapters now, in the order in which they were written. All others are
   * as they were.
   */
  readonly changed: readonly MergedTensor[]
  /** Whether the head was untied, because only it or only the embedding changed. */
  readonly untied: boolean
  /** Whether an adapter has its own tokenizer or chat template that the model does not have. */
  readonly lostText: boolean
}

/**
 * Whether a recipe is a sum with one coefficient for each adapter, at full rank. Such a sum is
 * merged exactly, for every kind.
 */
export function isPlainSum(recipe: MergeRecipe): boolean {
  const method = getMergeMethod(recipe.method)
  return (
    method.space === 'sum' &&
    method.uniform &&
    recipe.rank === undefined &&
    recipe.energy === undefined
  )
}

/**
 * What to merge into the base for a recipe: the adapters themselves for a plain sum, else the one
 * LoRA that they are merged into. Throws what `merge` throws.
 */
export function resolveWeightedAdapters(
  sources: MergeSources,
  options: MergeOptions = {},
): WeightedAdapter[] {
  const { adapters, names } = listAdapters(sources)
  const method = getMergeMethod(options.method)
  const ready = completeRecipe(options, method, names)
  if (!isPlainSum(options) || options.targets !== undefined || method.space !== 'sum')
    return [{ adapter: merge(sources, options), weight: 1 }]
  const mismatches = options.anyBase ? [] : listBaseMismatches(adapters)
  if (mismatches.length > 0)
    throw new MismatchError('The adapters cannot be merged', mismatches, sameBaseHint)
  const weights = method.coefficients({ weights: ready.weights, recipe: ready, inner: () => 0 })
  return adapters.map((adapter, k) => ({ adapter, weight: weights[k]! }))
}

/**
 * Writes a model: the base with the adapters in its weights. Tensors that no adapter touches are
 * copied as they are; into a GGUF, byte for byte, metadata included. Everything except the base's
 * numbers is checked before anything is written. Throws UnsupportedError for adapters without a
 * weight and for a GGUF out of a folder, MismatchError, NumericError, and what the sink throws.
 */
export async function mergeIntoBase(
  { base, source }: BaseWithSource,
  parts: readonly WeightedAdapter[],
  sink: ByteSink,
  options: MergeIntoBaseOptions = {},
): Promise<MergeIntoBaseResult> {
  checkOptions('Merge into a base', options, intoBaseOptions)
  checkForm(source, options)
  for (const { adapter } of parts)
    await checkBaseCopies(adapter, base.graph, (name) => base.weights.read(name))
  if (!options.anyBase) for (const { adapter } of parts) await checkBaseHash(adapter, base)
  const changed: MergedTensor[] = []
  const onMerged = (merged: MergedTensor): void => void changed.push(merged)
  const { weights, own } = createMergedBase(base, parts, {
    typeOf: createTypeRule(source, options),
    onMerged,
  })
  const adapters = parts.map(({ adapter }) => adapter)
  const text = options.ggufName === undefined ? findCommonText(adapters) : undefined
  const lostText = text === undefined && adapters.some((adapter) => adapter.text !== undefined)
  const written =
    options.ggufName === undefined
      ? await writeToFolder(source, base, weights, sink, own, { ...options, text })
      : await writeToGguf(source, weights, sink, own, { ...options, ggufName: options.ggufName })
  return { ...written, changed, untied: own !== undefined, lostText }
}

/**
 * The base with the adapters in its weights, to read or to run; untied where that is needed. Throws
 * what `createMergedWeights` throws.
 */
export function createMergedBase(
  base: GraphAndWeights,
  parts: readonly WeightedAdapter[],
  options: MergedWeightsOptions = {},
) {
  const adapters = parts.map(({ adapter }) => adapter)
  for (const adapter of adapters) checkAdapter(adapter, base.graph)
  const apart = untieHead(base)
  const own =
    apart && needsUntying({ graph: base.graph, table: apart.table }, adapters) ? apart : undefined
  return {
    graph: (own ?? base).graph,
    weights: createMergedWeights(own ?? base, parts, options),
    own,
  }
}

function checkForm(source: BaseModelSource, { ggufName, dtype }: MergeIntoBaseOptions): void {
  if (ggufName !== undefined && !('gguf' in source)) {
    throw new UnsupportedError(
      `${source.name}: a GGUF is written only from a base that is one. Write a folder, or convert the base to GGUF first (llama.cpp's convert_hf_to_gguf.py).`,
    )
  }
  if (ggufName === undefined && dtype === 'q8_0')
    throw new OptionError(
      'dtype: a model folder takes f32, f16 or bf16, got q8_0; blocks are for GGUF files.',
    )
}

const createTypeRule =
  (source: BaseModelSource, { ggufName, dtype }: MergeIntoBaseOptions) =>
  (
    name: string,
    info: { readonly dtype: DType; readonly shape: readonly number[]; readonly sizeBytes: number },
  ): DType =>
    dtype ?? (ggufName === undefined && 'gguf' in source ? 'f32' : resolveOwnType(name, info))

async function writeToFolder(
  source: BaseModelSource,
  base: BaseModel,
  weights: TensorStore,
  sink: ByteSink,
  own: UntiedBase | undefined,
  {
    dtype,
    onTensor,
    text: ownText,
  }: MergeIntoBaseOptions & { readonly text: AdapterText | undefined },
) {
  const text =
    'gguf' in source
      ? await readGgufText(await openGguf(source.gguf))
      : await readFolderText(source.folder, base.config.source)
  const config = own ? { ...text.config, tie_word_embeddings: false } : text.config
  const type = (dtype as FloatChoice | undefined) ?? ('gguf' in source ? 'f32' : undefined)
  // the model reads as the adapters do, where they have one tokenizer and chat template
  const files = new Map([...text.files, ...(ownText?.files ?? [])])
  const written = await writeHuggingFaceFolder(sink, { config, files }, weights, {
    dtype: type,
    ...(onTensor && { onTensor }),
  })
  return { format: 'safetensors' as const, ...written }
}

async function writeToGguf(
  source: BaseModelSource,
  weights: TensorStore & { readonly changing: ReadonlySet<string> },
  sink: ByteSink,
  own: UntiedBase | undefined,
  { ggufName, onTensor }: MergeIntoBaseOptions & { readonly ggufName: string },
) {
  const file = await openGguf((source as Extract<BaseModelSource, { gguf: unknown }>).gguf)
  const changes = collectChanges(file, weights, own)
  const count = file.tensors.size + (own ? 1 : 0)
  let done = 0
  let sizeBytes = 0
  const chunks = copyGguf(file, changes, (name, bytes) => {
    sizeBytes += bytes
    onTensor?.(name, ++done, count)
  })
  await sink.write(ggufName, chunks)
  return { format: 'gguf' as const, tensors: count, sizeBytes }
}

/** Changed tensors by ggml name, with their rows as the file has them. */
function collectChanges(
  file: GgufFile,
  weights: TensorStore & { readonly changing: ReadonlySet<string> },
  own: UntiedBase | undefined,
): Map<string, GgufChange> {
  const places = mapGgufTensors(file)
  const placeOf = (name: string): Pick<GgufTensorMapping, 'ggmlName' | 'arrange'> =>
    places.get(name) ?? {
      ggmlName: toGgufName(name, readGgufArchitecture(file).name)!,
      arrange: (tensor) => tensor,
    }
  const names = new Set([...weights.changing, ...(own ? [own.head] : [])])
  return new Map(
    [...names].map((name) => {
      const { dtype, shape } = weights.tensors.get(name)!
      const { ggmlName, arrange } = placeOf(name)
      return [
        ggmlName,
        { dtype, shape, read: async () => arrange(await weights.read(name)) },
      ] as const
    }),
  )
}
