// Opens a base model from a Hugging Face folder or a GGUF file: config, graph, weights that fit it,
// tokenizer, chat template. Knows no platform: bytes arrive through ByteFolder and ByteSource. Base
// weights are never changed.

import { FormatError, type Mismatch, MismatchError, NotFoundError } from '../base/errors.ts'
import { joinBytes } from '../base/concat.ts'
import { toHex, computeSha256 } from '../base/sha256.ts'
import { viewBytes } from '../base/tensor.ts'
import type { ByteFolder, ByteSource } from '../formats/byte-source.ts'
import { findChatTemplate } from '../formats/text/chat-template.ts'
import { openGguf } from '../formats/gguf/reader.ts'
import { readGgufConfig } from '../formats/gguf/config.ts'
import { toHuggingFaceStore } from '../formats/gguf/names.ts'
import { convertGgufTokenizer } from '../formats/gguf/tokenizer.ts'
import { openSharded } from '../formats/safetensors/sharded.ts'
import type { TensorStore } from '../formats/tensor-store.ts'
import { createTokenizer, type Tokenizer } from '../formats/text/tokenizer.ts'
import { buildModelGraph } from './build-model.ts'
import { describeShape } from './ir.ts'
import type { ModelConfig } from './model-config.ts'
import { collectWeightShapes, type ModelGraph } from './model-graph.ts'
import { getArchitecture } from './models/architecture-table.ts'
import { readEosTokenIds } from './models/read-config.ts'

export interface BaseModel {
  readonly name: string
  readonly config: ModelConfig
  readonly graph: ModelGraph
  readonly weights: TensorStore
  /**
   * Tensors of the file that no graph reads, and may be left unread: stored rotary tables, the copy
   * of a tied head.
   */
  readonly ignoredTensors: readonly string[]
  readonly tokenizer?: Tokenizer
  readonly chatTemplate?: string
  /** generation_config.json, where there is one. */
  readonly generation?: object
  /**
   * A hash of what the model computes: sha-256 over the config, and every tensor's name, type,
   * shape and bytes, of which the first and the last 64 KiB count. Two fine-tunes that agree in all
   * of those would look the same. Computed once, when first asked for.
   */
  identity(): Promise<string>
}

export type BaseModelSource =
  | { readonly name: string; readonly folder: ByteFolder }
  | { readonly name: string; readonly gguf: ByteSource }

type JsonObject = Readonly<Record<string, unknown>>

/** What a source holds, before it is checked against the graph of its config. */
interface ModelParts {
  readonly json: JsonObject
  readonly weights: TensorStore
  readonly tokenizer?: Tokenizer
  readonly chatTemplate?: string
  readonly generation?: JsonObject
}

/**
 * Opens a base model; weights are read later, one at a time. Throws UnsupportedError for an
 * architecture, scaling or quantisation that is not supported, one MismatchError with every tensor
 * that is missing, unknown or of a wrong shape, FormatError for broken files.
 */
export async function openBaseModel(source: BaseModelSource): Promise<BaseModel> {
  const { json, weights, generation, ...text } =
    'gguf' in source ? await openGgufParts(source.gguf) : await openFolderParts(source.folder)
  try {
    const read = getArchitecture(json).readConfig(json)
    const ends = [...new Set([...read.eosTokenIds, ...readEosTokenIds(generation ?? {})])]
    const config = { ...read, eosTokenIds: ends }
    const graph = buildModelGraph(config)
    const ignoredTensors = matchWeights(source.name, graph, weights)
    let identity: Promise<string> | undefined
    return {
      name: source.name,
      config,
      graph,
      weights,
      ignoredTensors,
      ...text,
      ...(generation && { generation }),
      identity: () => (identity ??= computeIdentity(config, weights)),
    }
  } catch (error) {
    await weights.close()
    throw error
  }
}

async function openFolderParts(folder: ByteFolder): Promise<ModelParts> {
  const json = await readJson(folder, 'config.json')
  if (!json) throw new NotFoundError(`${folder.name}: holds no model: there is no config.json.`)
  const tokenizerJson = await readJson(folder, 'tokenizer.json')
  const generation = await readJson(folder, 'generation_config.json')
  const tokenizerConfig = (await readJson(folder, 'tokenizer_config.json')) ?? {}
  const jinja = await readText(folder, 'chat_template.jinja')
  const chatTemplate = findChatTemplate(tokenizerConfig, jinja)
  getArchitecture(json) // before the weights: the more telling error, and nothing to close
  return {
    json,
    weights: await openSharded(folder),
    ...(tokenizerJson && { tokenizer: createTokenizer(tokenizerJson, tokenizerConfig) }),
    ...(chatTemplate !== undefined && { chatTemplate }),
    ...(generation && { generation }),
  }
}

async function openGgufParts(source: ByteSource): Promise<ModelParts> {
  const file = await openGguf(source)
  try {
    const json = await readGgufConfig(file)
    const weights = toHuggingFaceStore(file)
    if (!file.metadata.has('tokenizer.ggml.model')) return { json, weights }
    const { tokenizerJson, tokenizerConfig } = convertGgufTokenizer(file.metadata)
    const chatTemplate = findChatTemplate(tokenizerConfig)
    return {
      json,
      weights,
      tokenizer: createTokenizer(tokenizerJson, tokenizerConfig),
      ...(chatTemplate !== undefined && { chatTemplate }),
    }
  } catch (error) {
    await file.close()
    throw error
  }
}

async function readText(folder: ByteFolder, path: string): Promise<string | undefined> {
  const source = await folder.open(path)
  if (!source) return undefined
  try {
    return new TextDecoder('utf-8').decode(await source.read(0, source.sizeBytes))
  } finally {
    await source.close?.()
  }
}

async function readJson(folder: ByteFolder, path: string): Promise<JsonObject | undefined> {
  const text = await readText(folder, path)
  if (text === undefined) return undefined
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch (cause) {
    throw new FormatError(`${folder.name}: ${path} is not JSON.`, { cause })
  }
  if (typeof value === 'object' && value !== null && !Array.isArray(value))
    return value as JsonObject
  throw new FormatError(`${folder.name}: ${path} holds no JSON object.`)
}

// Older checkpoints store these tables; the graph makes its own.
const storedTables = /\.rotary_emb\.(inv_freq|cos_cached|sin_cached)$/

/**
 * Checks that the store holds exactly what the blocks read; returns the names that may be left out.
 */
function matchWeights(
  name: string,
  { blocks, config }: ModelGraph,
  { tensors }: TensorStore,
): string[] {
  const wanted = collectWeightShapes(blocks)
  const mismatches: Mismatch[] = []
  for (const [weight, shape] of wanted) {
    const got = tensors.get(weight)
    const expected = describeShape(shape)
    if (!got) mismatches.push({ name: weight, got: 'no such tensor', expected })
    else if (describeShape(got.shape) !== expected)
      mismatches.push({ name: weight, got: describeShape(got.shape), expected })
  }
  const mayBeIgnored = (tensor: string): boolean =>
    storedTables.test(tensor) || (config.tiedEmbeddings && tensor === 'lm_head.weight')
  const others = [...tensors].filter(([tensor]) => !wanted.has(tensor))
  for (const [tensor, { shape }] of others) {
    if (!mayBeIgnored(tensor))
      mismatches.push({
        name: tensor,
        got: describeShape(shape),
        expected: `no such tensor in a ${config.modelType} model`,
      })
  }
  if (mismatches.length > 0) {
    const advice = 'Do config.json and the weights belong together, and is the file complete?'
    throw new MismatchError(
      `Model "${name}": the weights do not fit its config`,
      mismatches,
      advice,
    )
  }
  return others.map(([tensor]) => tensor)
}

const SAMPLE_BYTES = 65_536

/**
 * sha-256 of the config's hash and of each tensor's, in the order of names. Token ids change no
 * logits and are left out.
 */
async function computeIdentity(config: ModelConfig, weights: TensorStore): Promise<string> {
  const {
    source: _source,
    bosTokenId: _bos,
    eosTokenIds: _eos,
    padTokenId: _pad,
    ...computed
  } = config
  const parts = [await computeSha256(new TextEncoder().encode(JSON.stringify(computed)))]
  for (const name of [...weights.tensors.keys()].sort()) {
    const tensor = await weights.read(name)
    const bytes = viewBytes(tensor)
    const head = new TextEncoder().encode(JSON.stringify([name, tensor.dtype, tensor.shape]))
    const ends = [
      bytes.subarray(0, SAMPLE_BYTES),
      bytes.subarray(Math.max(SAMPLE_BYTES, bytes.length - SAMPLE_BYTES)),
    ]
    parts.push(await computeSha256(joinBytes([head, ...ends])))
  }
  return toHex(await computeSha256(joinBytes(parts)))
}
