// Fields of config.json that all architectures share: sizes, biases, token ids. Independent of
// graphs and files.

import { FormatError, UnsupportedError } from '../../base/errors.ts'
import type { LayerConfig, ModelConfig } from '../model-config.ts'
import { readRope } from './read-rope.ts'

export type JsonObject = Readonly<Record<string, unknown>>

/**
 * The values of a `model_type` for keys that are missing in its config.json: the defaults of
 * transformers' config class.
 */
export interface ConfigDefaults {
  readonly kvHeads?: number // absent: as many as heads
  readonly headWidth?: number // absent: width / heads
  readonly maxPositions: number
  readonly normEpsilon?: number // absent: 1e-6
  readonly tiedEmbeddings?: boolean
  readonly theta?: number
  /** Name of the activation that the architecture has built in. */
  readonly activation?: string
}

/** The value of a key: undefined if it is missing or null; FormatError where it is not a number. */
export function readNumber(json: JsonObject, key: string): number | undefined {
  const value = json[key]
  if (value === undefined || value === null) return undefined
  if (typeof value === 'number' && Number.isFinite(value)) return value
  throw new FormatError(`config.json: "${key}" is ${JSON.stringify(value)}, expected a number.`)
}

export function readFlag(json: JsonObject, key: string, fallback: boolean): boolean {
  const value = json[key] ?? fallback
  if (typeof value === 'boolean') return value
  throw new FormatError(
    `config.json: "${key}" is ${JSON.stringify(value)}, expected true or false.`,
  )
}

/** A size: an integer from 1 up; FormatError if it is missing or anything else. */
export function readSize(json: JsonObject, key: string, fallback?: number): number {
  const value = readNumber(json, key) ?? fallback
  if (value !== undefined && Number.isSafeInteger(value) && value > 0) return value
  throw new FormatError(
    `config.json: "${key}" is ${value ?? 'missing'}, expected an integer above 0.`,
  )
}

/** Throws UnsupportedError unless the key is missing or has one of the values. */
export function requireValue(json: JsonObject, key: string, ...allowed: readonly unknown[]): void {
  const value = json[key]
  if (value === undefined || value === null || allowed.includes(value)) return
  throw new UnsupportedError(
    `config.json of a ${String(json.model_type)} model: "${key}" is ${JSON.stringify(value)}; supported: ${allowed.map((item) => JSON.stringify(item)).join(', ')}.`,
  )
}

// several times the deepest published model, so that a wrong number cannot fill the memory with
// graphs
const MOST_LAYERS = 1024

/**
 * The part of a config that all architectures have; each adds its layers and what differs. All
 * layers have full attention and the RoPE table `main`.
 */
export function readCommon(json: JsonObject, defaults: ConfigDefaults): ModelConfig {
  refuseQuantized(json)
  requireValue(json, 'hidden_act', defaults.activation ?? 'silu')
  const width = readSize(json, 'hidden_size')
  const heads = readSize(json, 'num_attention_heads')
  const kvHeads = readSize(json, 'num_key_value_heads', defaults.kvHeads ?? heads)
  const headWidth = readSize(json, 'head_dim', defaults.headWidth ?? width / heads)
  if (heads % kvHeads !== 0) {
    throw new FormatError(
      `config.json: ${heads} query heads (num_attention_heads) do not share ${kvHeads} key heads evenly.`,
    )
  }
  const layers = readSize(json, 'num_hidden_layers')
  if (layers > MOST_LAYERS)
    throw new FormatError(
      `config.json: "num_hidden_layers" is ${layers}, expected at most ${MOST_LAYERS}.`,
    )
  const maxPositions = readSize(json, 'max_position_embeddings', defaults.maxPositions)
  return {
    modelType: String(json.model_type),
    vocabularySize: readSize(json, 'vocab_size'),
    width,
    feedForward: readSize(json, 'intermediate_size'),
    heads,
    kvHeads,
    headWidth,
    layers: Array.from({ length: layers }, (): LayerConfig => ({ rope: 'main' })),
    maxPositions,
    normEpsilon: readNumber(json, 'rms_norm_eps') ?? defaults.normEpsilon ?? 1e-6,
    attentionBias: false,
    mlpBias: false,
    tiedEmbeddings: readFlag(json, 'tie_word_embeddings', defaults.tiedEmbeddings ?? false),
    rope: { main: readRope(json, { headWidth, maxPositions, theta: defaults.theta ?? 10_000 }) },
    attentionScale: headWidth ** -0.5,
    attentionSoftcap: 0,
    logitSoftcap: 0,
    ...readTokenIds(json),
    source: json,
  }
}

/**
 * Throws UnsupportedError for weights that another tool quantised, because their names and formats
 * differ.
 */
function refuseQuantized({ quantization_config: quantization }: JsonObject): void {
  if (quantization === undefined || quantization === null) return
  const method = (quantization as JsonObject).quant_method ?? 'an unnamed method'
  throw new UnsupportedError(
    `config.json: the weights are quantised by ${JSON.stringify(method)}, which is not supported. Use the model's unquantised folder or a GGUF file.`,
  )
}

function readTokenIds(
  json: JsonObject,
): Pick<ModelConfig, 'bosTokenId' | 'eosTokenIds' | 'padTokenId'> {
  const bos = readNumber(json, 'bos_token_id')
  const pad = readNumber(json, 'pad_token_id')
  return {
    ...(bos === undefined ? {} : { bosTokenId: bos }),
    eosTokenIds: readEosTokenIds(json),
    ...(pad === undefined ? {} : { padTokenId: pad }),
  }
}

/** The ids that end a generation: `eos_token_id` is one number, a list, or missing. */
export function readEosTokenIds({ eos_token_id: ids }: JsonObject): number[] {
  return (Array.isArray(ids) ? ids : [ids]).filter((id): id is number => typeof id === 'number')
}

/**
 * The window of each layer from `layer_types`; `fallback` decides which layers have a window if the
 * key is missing. Throws UnsupportedError for a type of attention that is neither full nor sliding.
 */
export function readLayerWindows(
  json: JsonObject,
  count: number,
  window: number | undefined,
  fallback: (layer: number) => boolean,
): (number | undefined)[] {
  const types =
    json.layer_types ??
    Array.from({ length: count }, (_, i) => (fallback(i) ? 'sliding_attention' : 'full_attention'))
  if (!Array.isArray(types) || types.length !== count) {
    throw new FormatError(
      `config.json: "layer_types" has ${Array.isArray(types) ? types.length : 'no'} entries, expected ${count}, one for each layer.`,
    )
  }
  return types.map((type: unknown, layer) => {
    if (type === 'full_attention') return undefined
    if (type === 'sliding_attention' && window !== undefined) return window
    const reason = type === 'sliding_attention' ? ' without a "sliding_window"' : ''
    throw new UnsupportedError(
      `config.json: layer ${layer} has "layer_types" ${JSON.stringify(type)}${reason}, which is not supported.`,
    )
  })
}

/**
 * The layers of `layer_types`, by the types there may be; `fallback` is the type of a layer if the
 * key is missing. Throws UnsupportedError for another type.
 */
export function readLayerTypes(
  json: JsonObject,
  count: number,
  known: Readonly<Record<string, LayerConfig>>,
  fallback: (layer: number) => string,
): LayerConfig[] {
  const types = json.layer_types ?? Array.from({ length: count }, (_, i) => fallback(i))
  if (!Array.isArray(types) || types.length !== count) {
    throw new FormatError(
      `config.json: "layer_types" has ${Array.isArray(types) ? types.length : 'no'} entries, expected ${count}, one for each layer.`,
    )
  }
  return types.map((type: unknown, layer) => {
    const found = typeof type === 'string' && Object.hasOwn(known, type) ? known[type] : undefined
    if (found) return found
    throw new UnsupportedError(
      `config.json: layer ${layer} has "layer_types" ${JSON.stringify(type)}, which is not supported; supported: ${Object.keys(known).join(', ')}.`,
    )
  })
}

/** A layer with the main RoPE table, and a sliding window if there is one. */
export const toSlidingLayer = (slidingWindow: number | undefined): LayerConfig =>
  slidingWindow === undefined ? { rope: 'main' } : { rope: 'main', slidingWindow }

/**
 * The window of a config in which all layers have a window or none; `fallback` if the key is
 * missing; null means none.
 */
export function readWindow(json: JsonObject, fallback?: number): number | undefined {
  const value = json.sliding_window === undefined ? fallback : json.sliding_window
  return value === null || value === undefined
    ? undefined
    : readSize(json, 'sliding_window', fallback)
}
