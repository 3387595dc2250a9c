// Reads and writes LoRA adapters as GGUF files for llama.cpp, with the names and row order of its
// convert_lora_to_gguf.py. llama.cpp scales each pair by alpha/rank, with one alpha for the file.

import { FormatError, UnsupportedError } from '../../base/errors.ts'
import { checkOptions, describeValue, oneOf, unchecked } from '../../base/schema.ts'
import { f32, type F32Tensor, type Tensor } from '../../base/tensor.ts'
import type { ByteSource } from '../../formats/byte-source.ts'
import { fromFloat32, toFloat32 } from '../../formats/convert.ts'
import { openGguf } from '../../formats/gguf/reader.ts'
import type { GgufEntry, GgufFile } from '../../formats/gguf/types.ts'
import { ggufArchitectures } from '../../formats/gguf/architectures.ts'
import { toHuggingFaceName, toGgufName } from '../../formats/gguf/names.ts'
import { encodeGguf } from '../../formats/gguf/writer.ts'
import { interleaveRotaryRows, splitRotaryRows } from '../../formats/rotary-rows.ts'
import type { ModelConfig } from '../../graph/model-config.ts'
import type { ModelGraph, ModuleInfo } from '../../graph/model-graph.ts'
import { checkAdapter, type Adapter } from '../adapter.ts'
import { getSavedPath, toPeftKey } from '../keys.ts'
import type { ServingWeights, WeightOf } from '../kinds/kind.ts'
import type { LoraConfig } from '../kinds/lora-config.ts'
import { decodeGgufMetadata, encodeGgufMetadata } from './gguf-metadata.ts'
import { inferLoraConfig } from './lora-from-ranks.ts'
import { transposeValues } from '../kinds/matrices.ts'
import { computeServingWeights } from '../serving/serving-weights.ts'
import { listAdaptableModules } from '../adapted-layers.ts'
import { listSavedTensors } from '../saved-modules.ts'

/**
 * An activated LoRA acts from the last occurrence of these tokens on. llama.cpp's server applies
 * this; its library leaves it to callers.
 */
const INVOCATION = 'adapter.alora.invocation_tokens'

/** llama.cpp's names of architectures that differ from those of transformers. */
const renamed: Readonly<Record<string, string>> = {
  mistral: 'llama',
  gemma3_text: 'gemma3',
  ministral3: 'mistral3',
  qwen3_5_text: 'qwen35',
}
const getGgufArchitecture = ({ modelType }: ModelConfig): string => renamed[modelType] ?? modelType

const layerPath = /\.\d+\./
/**
 * llama.cpp finds no tensor for such a head; and it also multiplies an embedding's pair at the
 * head, where shapes do not fit, and aborts.
 */
const tiedProblem =
  'the head and the embedding share one weight, on which llama.cpp takes no adapter'

const movedProblem =
  'llama.cpp keeps its value heads in another order, in which no adapter is written'

const hasMovedHeads = ({ recurrence }: ModelConfig, path: string): boolean =>
  recurrence !== undefined &&
  recurrence.heads !== recurrence.keyHeads &&
  path.includes('.linear_attn.')

/**
 * Heads whose rows have a different order in the file: queries and keys, because llama.cpp rotates
 * adjacent pairs.
 */
function findReorderedHeads(config: ModelConfig, path: string): number | undefined {
  if (!ggufArchitectures[getGgufArchitecture(config)]?.interleavedRotary) return undefined
  if (path.endsWith('.q_proj')) return config.heads
  return path.endsWith('.k_proj') ? config.kvHeads : undefined
}

export interface GgufAdapterOptions {
  /** Element type of the tensors. Default 'f32'. */
  readonly dtype?: 'f32' | 'f16' | 'bf16'
  /** The base's weights, for kinds that are served from them. */
  readonly weightOf?: WeightOf
}

const optionFields = {
  dtype: oneOf(['f32', 'f16', 'bf16']),
  weightOf: unchecked('a function from a weight’s name to its tensor'),
}

/**
 * The file's chunks, for any adapter that is two matrices per layer: LoRA of every scale, LoKr,
 * LoHa, VeRA, PiSSA, OLoRA; their scales go into B. Throws UnsupportedError listing what GGUF
 * cannot hold: DoRA, IA3, soft prompts, trained biases, modules saved whole, and a tied head or
 * embedding, which llama.cpp does not take.
 */
export function encodeGgufAdapter(
  adapter: Adapter,
  model: ModelGraph,
  options: GgufAdapterOptions = {},
): Generator<Uint8Array> {
  checkOptions('encodeGgufAdapter options', options, optionFields)
  const { dtype = 'f32', weightOf } = options
  const architecture = getGgufArchitecture(model.config)
  const { invocationTokens } = adapter.config
  // llama.cpp does not scale at all if alpha is 0
  const alpha = (adapter.kind === 'lora' && (adapter.config as LoraConfig).alpha) || 1
  const problems = [...listSavedTensors(model, adapter.config).keys()].map(
    (name) => `${getSavedPath(toPeftKey(name))}: its weight is saved whole`,
  )
  if (adapter.config.trainableTokens) problems.push('embed_tokens: single tokens are trained')
  if (problems.length > 0) throw createGgufError(problems)
  const forms = computeServingWeights(adapter, model, weightOf)
  const tensors = new Map<string, Tensor>()
  for (const [path, form] of forms) {
    const name = toGgufName(`${path}.weight`, architecture)
    if (hasMovedHeads(model.config, path)) problems.push(`${path}: ${movedProblem}`)
    else if (form.shift || form.u || form.v) problems.push(`${path}: more than two matrices`)
    else if (model.config.tiedEmbeddings && !layerPath.test(path))
      problems.push(`${path}: ${tiedProblem}`)
    else if (!name) problems.push(`${path}: ${architecture} has no such tensor`)
    else
      for (const [side, tensor] of listSides(model.config, path, form, alpha))
        tensors.set(`${name}.lora_${side}`, asType(tensor, dtype))
  }
  if (problems.length > 0) throw createGgufError(problems)
  const metadata = new Map<string, GgufEntry>([
    ['general.type', { type: 'string', value: 'adapter' }],
    ['general.architecture', { type: 'string', value: architecture }],
    ['adapter.type', { type: 'string', value: 'lora' }],
    ['adapter.lora.alpha', { type: 'f32', value: alpha }],
    ...encodeGgufMetadata(adapter),
    ...(invocationTokens
      ? [
          [INVOCATION, { type: 'u32[]', value: Uint32Array.from(invocationTokens) }] satisfies [
            string,
            GgufEntry,
          ],
        ]
      : []),
  ])
  return encodeGguf({ metadata, tensors })
}

const createGgufError = (problems: readonly string[]): UnsupportedError =>
  new UnsupportedError(
    `A GGUF adapter cannot hold:\n  ${problems.join('\n  ')}\n` +
      'It has only two low-rank matrices for each layer. Merge the adapter into its base and convert that model instead.',
  )

/** A, and B divided by the factor that llama.cpp will multiply by. */
function listSides(
  config: ModelConfig,
  path: string,
  { A, B }: ServingWeights,
  alpha: number,
): readonly (readonly ['a' | 'b', F32Tensor])[] {
  const rank = B.shape[1]!
  const bare = f32(
    B.shape,
    B.data.map((value) => (value * rank) / alpha),
  )
  const heads = findReorderedHeads(config, path)
  return [
    ['a', A],
    ['b', heads === undefined ? bare : (interleaveRotaryRows(bare, heads) as F32Tensor)],
  ]
}

const asType = (tensor: F32Tensor, dtype: 'f32' | 'f16' | 'bf16'): Tensor =>
  dtype === 'f32' ? tensor : { dtype, shape: tensor.shape, data: fromFloat32(tensor.data, dtype) }

/**
 * Reads a GGUF LoRA adapter as a LoRA with PEFT's names and order of rows. Throws UnsupportedError
 * for other adapters, for another architecture than the model's and for unknown tensors (all
 * listed), FormatError for a pair with one missing matrix, MismatchError for wrong shapes.
 */
export async function loadGgufAdapter(source: ByteSource, model: ModelGraph): Promise<Adapter> {
  const file = await openGguf(source)
  try {
    const settings = readSettings(file, model.config)
    const pairs = await readPairs(file, model)
    const adapter = { ...asAdapter(pairs, settings, model), ...decodeGgufMetadata(file) }
    checkAdapter(adapter, model)
    return adapter
  } finally {
    await file.close()
  }
}

interface Settings {
  /** 0: not scaled at all. */
  readonly alpha: number
  readonly invocationTokens?: readonly number[]
}

function readSettings({ name, metadata }: GgufFile, config: ModelConfig): Settings {
  const wanted = {
    'general.type': 'adapter',
    'adapter.type': 'lora',
    'general.architecture': getGgufArchitecture(config),
  }
  const problems = Object.entries(wanted).flatMap(([key, value]) => {
    const got = metadata.get(key)
    return got === value
      ? []
      : [`${key}: got ${JSON.stringify(got) ?? 'nothing'}, expected ${JSON.stringify(value)}`]
  })
  const invocation = metadata.get(INVOCATION)
  if (invocation !== undefined && !(invocation instanceof Uint32Array && invocation.length > 0))
    problems.push(`${INVOCATION}: got ${JSON.stringify(invocation)}, expected a list of token ids`)
  const alpha = metadata.get('adapter.lora.alpha') ?? 0
  if (typeof alpha !== 'number' || !Number.isFinite(alpha))
    problems.push(`adapter.lora.alpha: got ${describeValue(alpha)}, expected a number`)
  if (problems.length > 0)
    throw new UnsupportedError(
      `${name}: is not a LoRA adapter for this model:\n  ${problems.join('\n  ')}`,
    )
  return {
    alpha: alpha as number,
    ...(invocation === undefined ? {} : { invocationTokens: [...(invocation as Uint32Array)] }),
  }
}

interface Pair {
  readonly module: ModuleInfo
  readonly a: Tensor
  readonly b: Tensor
}

/** Whether a tensor has the rows of these heads; other shapes are refused later by name. */
const hasHeads = ({ shape }: Tensor, heads: number | undefined, { headWidth }: ModelConfig) =>
  heads !== undefined && shape[0] === heads * headWidth

async function readPairs(file: GgufFile, model: ModelGraph): Promise<Pair[]> {
  const modules = new Map(listAdaptableModules(model).map((module) => [module.path, module]))
  const sides = new Map<ModuleInfo, { a?: string; b?: string }>()
  const strangers: string[] = []
  for (const name of file.tensors.keys()) {
    const [, base, side] = /^(.*\.weight)\.lora_([ab])$/.exec(name) ?? []
    const path =
      base &&
      toHuggingFaceName(base, getGgufArchitecture(model.config))?.slice(0, -'.weight'.length)
    const module = path ? modules.get(path) : undefined
    if (module) sides.set(module, { ...sides.get(module), [side!]: name })
    else strangers.push(name)
  }
  if (strangers.length > 0)
    throw new UnsupportedError(
      `${file.name}: the model has no layer for these tensors:\n  ${strangers.join('\n  ')}`,
    )
  const pairs: Pair[] = []
  for (const [module, { a, b }] of sides) {
    if (!a || !b)
      throw new FormatError(`${file.name}: ${a ?? b} lacks the other matrix of its pair.`)
    const heads = findReorderedHeads(model.config, module.path)
    const tensorA = await file.read(a)
    const tensorB = await file.read(b)
    for (const [key, { shape }] of [
      [a, tensorA],
      [b, tensorB],
    ] as const)
      if (shape.length !== 2)
        throw new FormatError(`${file.name}: ${key}: got [${shape.join(', ')}], expected a matrix.`)
    pairs.push({
      module,
      a: tensorA,
      b: hasHeads(tensorB, heads, model.config) ? splitRotaryRows(tensorB, heads!) : tensorB,
    })
  }
  return pairs
}

function asAdapter(
  pairs: readonly Pair[],
  { alpha, invocationTokens }: Settings,
  model: ModelGraph,
): Adapter {
  const tensors = new Map<string, Tensor>()
  const ranks = new Map<string, number>()
  for (const { module, a, b } of pairs) {
    const embedding = module.kind === 'embedding'
    const [rows, columns] = a.shape as [number, number]
    // the file has a row for each token
    const A = embedding ? f32([columns, rows], transposeValues(toFloat32(a), rows, columns)) : a
    tensors.set(toPeftKey(`${module.path}.${embedding ? 'lora_embedding_A' : 'lora_A.weight'}`), A)
    tensors.set(toPeftKey(`${module.path}.${embedding ? 'lora_embedding_B' : 'lora_B.weight'}`), b)
    ranks.set(module.path, b.shape[1]!)
  }
  // llama.cpp divides by each pair's own rank; without an alpha it does not scale at all.
  const config = inferLoraConfig(ranks, (rank) => (alpha === 0 ? rank : alpha), model)
  return {
    kind: 'lora',
    config: { ...config, ...(invocationTokens ? { invocationTokens } : {}) },
    tensors,
  }
}
