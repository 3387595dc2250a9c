// A base model by path or name, ready to compute: resolved, opened, on ONNX Runtime.

import { checkOptions } from '../base/schema.ts'
import type { F32Tensor } from '../base/tensor.ts'
import type { Backend } from '../compute/backend.ts'
import { openBaseModel } from '../graph/base-model.ts'
import type { Quantization } from '../graph/quantized-base/frozen-form-table.ts'
import type { BaseWeight } from '../graph/quantized-base/quantize-weight.ts'
import type { RopeScalingOptions } from '../graph/models/rope-scaling.ts'
import { readQuantized, readWeights } from '../graph/read-weights.ts'
import { createModel, type Model } from '../runtime/model.ts'
import type { WeightChoice } from '../runtime/programs/base-weights.ts'
import { computeTrainedBytes, type ModelMemory } from '../runtime/programs/model-memory.ts'
import { createNodeBackend } from './backend.ts'
import { createNodeGrammarHost } from './grammar/node-host.ts'
import { loadFields } from './models/model-options.ts'
import { openPackedFiles } from './prepared/open-packed-files.ts'
import { checkMemory } from './models/machine-memory.ts'
import { resolveModel, type ResolveOptions } from './models/resolve.ts'

export interface LoadModelOptions extends ResolveOptions {
  /** How weights are kept: as the file has them (default), in f32, or quantised on reading. */
  readonly weights?: WeightChoice | undefined
  /** Threads of an operator. Default: GRAFT_THREADS, else what this process may use. */
  readonly threads?: number | undefined
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

const servingAdvice =
  'Take a smaller model or one in fewer bits (weights: q4), or end programs that use memory; graft models plan shows the memory by purpose.'
const trainingAdvice =
  'Train on a smaller model, on a quantised base (quantization nf4), or end programs that use memory.'

/** A model that can also be trained on: it has its backend and its weights in f32. */
export interface LoadedModel extends Model {
  readonly backend: Backend
  /**
   * The base's weights by checkpoint name, read again at every call and not kept: in f32, or
   * quantised as they are read. Throws NumericError for NaN.
   */
  weights(): Promise<Map<string, F32Tensor>>
  weights(options?: { readonly quantization?: Quantization }): Promise<Map<string, BaseWeight>>
  /** The path or name with which the model was loaded. */
  readonly source: string
}

/**
 * Opens a base model: a directory in the Hugging Face layout, a .gguf file,
 * `hf:owner/name@revision` or a name of the catalogue, fetched into the cache where needed. Nothing
 * is computed before the first call. Throws NotFoundError with everything that was tried,
 * OptionError for unknown options, UnsupportedError, MismatchError, FormatError.
 */
export async function loadModel(
  source: string,
  options: LoadModelOptions = {},
): Promise<LoadedModel> {
  checkOptions('Options of loadModel', options, loadFields)
  const { weights: choice, threads, date, today, ropeScaling, ...resolving } = options
  const base = await openBaseModel(await resolveModel(source, resolving), { ropeScaling })
  const backend = await createNodeBackend({ threads, environment: options.environment })
  const grammars = createNodeGrammarHost()
  const files = backend.readsFiles
    ? await openPackedFiles({ weights: base.weights, choice, environment: options.environment })
    : undefined
  const admit = ({ peakBytes }: ModelMemory): void =>
    checkMemory(`Model "${base.name}"`, peakBytes, servingAdvice, options.environment)
  const model = createModel({ grammars, base, backend, weights: choice, files, admit, date, today })
  function weights(): Promise<Map<string, F32Tensor>>
  function weights(given?: {
    readonly quantization?: Quantization
  }): Promise<Map<string, BaseWeight>>
  async function weights({ quantization }: { readonly quantization?: Quantization } = {}): Promise<
    Map<string, BaseWeight>
  > {
    const bytes = computeTrainedBytes(base.graph, quantization)
    checkMemory(`Training on "${base.name}"`, bytes, trainingAdvice, options.environment)
    return quantization ? readQuantized(base, quantization) : readWeights(base)
  }
  const { dispose: closeModel } = model
  const dispose = async (): Promise<void> => {
    await closeModel()
    await grammars.dispose()
  }
  return Object.assign(model, { backend, source, weights, dispose })
}
