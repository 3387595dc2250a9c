// A base model in a browser, by URL, file, OPFS or catalogue name: opened, on onnxruntime-web.

import { NotFoundError } from '../base/errors.ts'
import {
  checkOptions,
  createField,
  either,
  flag,
  oneOf,
  string,
  unchecked,
} from '../base/schema.ts'
import type { F32Tensor } from '../base/tensor.ts'
import { catalogue, type CatalogueEntry } from '../catalogue/catalogue.ts'
import type { Backend } from '../compute/backend.ts'
import { type BaseModelSource, openBaseModel } from '../graph/base-model.ts'
import { type RopeScalingOptions, ropeScalingField } from '../graph/models/rope-scaling.ts'
import type { Quantization } from '../graph/quantized-base/frozen-form-table.ts'
import type { BaseWeight } from '../graph/quantized-base/quantize-weight.ts'
import { readQuantized, readWeights } from '../graph/read-weights.ts'
import { createLocalHost } from '../runtime/grammar/local-host.ts'
import { createModel, type Model } from '../runtime/model.ts'
import type { WeightChoice } from '../runtime/programs/base-weights.ts'
import { computeTrainedBytes } from '../runtime/programs/model-memory.ts'
import {
  checkModelFile,
  checkModelFolder,
  checkAddressable,
  countStoredBytes,
} from './addressable.ts'
import { openGrammarLibrary } from './grammar-library.ts'
import { backendFields, openWebBackend, type WebBackendOptions } from './runtime/load-runtime.ts'
import {
  openSource,
  type OpenSourceOptions,
  resolveUrl,
  type WebSource,
} from './sources/open-source.ts'

export interface LoadWebModelOptions extends OpenSourceOptions, WebBackendOptions {
  /** How weights are kept: as the file has them (default), in f32, or quantised on reading. */
  readonly weights?: WeightChoice | undefined
  /**
   * The date for chat templates that print it, where a prompt's own chat options have none. Without
   * it, an expert's prompts use the date of its training.
   */
  readonly date?: Date | undefined
  /** The date if neither `date` nor the expert's training has one. */
  readonly today?: Date | undefined
  /** A scaling of rotary positions for contexts longer than the model was trained on. */
  readonly ropeScaling?: RopeScalingOptions | undefined
}

const dateField = createField<Date>('a Date', {}, (value) => value instanceof Date)

export const cacheField = either(flag({}), oneOf(['auto']))

/** The options of opening files from the web. */
export const sourceFields = {
  cache: cacheField,
  signal: unchecked<AbortSignal>('an AbortSignal'),
  onProgress: unchecked('a function'),
  onNote: unchecked('a function'),
  sha256: string({ filled: true }),
}

export const loadFields = {
  ...sourceFields,
  ...backendFields,
  weights: oneOf(['file', 'f32', 'q4', 'q8']),
  date: dateField,
  today: dateField,
  ropeScaling: ropeScalingField,
}

/** A model that can also be trained on: it has its backend and its weights in f32. */
export interface WebModel extends Model {
  readonly backend: Backend
  /**
   * The base's weights by checkpoint name, read again at every call and not kept: in f32, or
   * quantised as they are read. Throws NumericError for NaN.
   */
  weights(): Promise<Map<string, F32Tensor>>
  weights(options?: { readonly quantization?: Quantization }): Promise<Map<string, BaseWeight>>
  /** The name with which the model was loaded; adapters that are trained on it record it. */
  readonly source: string
}

/**
 * Opens a base model: the URL of a .gguf file or of a folder in the Hugging Face layout, a File,
 * the Files of a folder, `opfs:models/mine`, `hf:owner/name@revision` or a name of the catalogue.
 * Files from the web are cached in OPFS and not downloaded again. Before the first call, only one
 * product with a known result is computed. Throws NotFoundError, StorageError, OptionError for
 * unknown options, UnsupportedError, MismatchError, FormatError.
 */
export async function loadModel(
  source: WebSource,
  options: LoadWebModelOptions = {},
): Promise<WebModel> {
  checkOptions('Options of loadModel', options, loadFields)
  const { runtime, threads, wasmPaths, weights: choice, date, today, ropeScaling } = options
  const { cache, signal, onProgress, onNote, sha256 } = options
  const opening = { cache, signal, onProgress, onNote, sha256, admit: checkModelFile }
  const opened = await resolveModel(source, opening)
  if ('folder' in opened) await checkModelFolder(opened.name, opened.folder)
  // The runtime is compiled while the model's header is read.
  const started = openWebBackend({ runtime, threads, wasmPaths })
  started.catch(() => undefined)
  const base = await openBaseModel(opened, { ropeScaling })
  try {
    checkAddressable(base.name, 'serving', countStoredBytes(base.weights.tensors))
    const backend = await started
    const grammars = createLocalHost(openGrammarLibrary)
    const model = createModel({ grammars, base, backend, weights: choice, date, today })
    const weights = async ({
      quantization,
    }: { readonly quantization?: Quantization } = {}): Promise<Map<string, BaseWeight>> => {
      checkAddressable(base.name, 'training', computeTrainedBytes(base.graph, quantization))
      return quantization ? readQuantized(base, quantization) : readWeights(base)
    }
    const { dispose: closeModel } = model
    return Object.assign(model, {
      backend,
      source: describeSource(source, base.name),
      weights: weights as WebModel['weights'],
      async dispose(): Promise<void> {
        await closeModel()
        await grammars.dispose()
      },
    })
  } catch (error) {
    await base.weights.close()
    throw error
  }
}

/** Names of the catalogue or the hub are used unchanged; other sources by their file name. */
const describeSource = (source: WebSource, name: string): string =>
  typeof source === 'string' && (catalogue.has(source) || source.startsWith('hf:')) ? source : name

/** The bytes of a base model. A name of the catalogue comes first, then a URL. */
export async function resolveModel(
  source: WebSource,
  options: OpenSourceOptions = {},
): Promise<BaseModelSource> {
  const entry = typeof source === 'string' ? catalogue.get(source) : undefined
  if (entry) return openFromCatalogue(entry, options)
  if (
    typeof source === 'string' &&
    /^[\w.:-]+$/.test(source) &&
    !/\.gguf$|^(opfs|hf):/.test(source)
  )
    throw new NotFoundError(
      `There is no base model ${JSON.stringify(source)}. The catalogue has ${[...catalogue.keys()].join(', ')}; or give the URL of a folder (ending in /) or of a .gguf file, opfs:…, hf:owner/name, or a File.`,
    )
  const opened = await openSource(source, options)
  return 'file' in opened ? { name: opened.name, gguf: opened.file } : opened
}

/** The first source of an entry that browsers can reach. */
async function openFromCatalogue(
  { name, sources }: CatalogueEntry,
  options: OpenSourceOptions,
): Promise<BaseModelSource> {
  const failures: string[] = []
  for (const source of sources) {
    if (source.kind === 'wheel' || source.kind === 'wheel-folder') {
      failures.push(`  Python package ${source.package}: pages cannot take files out of packages`)
      continue
    }
    const place =
      source.kind === 'hub'
        ? `hf:${source.repository}@${source.revision}`
        : resolveUrl(source.directory.href)
    try {
      const opened = await openSource(place, options)
      if ('folder' in opened) return { name, folder: opened.folder }
    } catch (error) {
      failures.push(`  ${place}: ${error instanceof Error ? error.message : String(error)}`)
    }
  }
  throw new NotFoundError(
    [
      `The base model ${name} could not be loaded:`,
      ...failures,
      'Put its folder or .gguf file on a server that lets this site read from it, and load it by its URL; or choose it as a file.',
    ].join('\n'),
  )
}
