// Single tokens whose rows of the embedding, of the head, or of both an adapter trains (PEFT's
// trainable_token_indices): the cheap way to teach added tokens. A head that shares the embedding's
// weight uses the embedding's rows, unless it has its own tokens.
//
//     y = k ⊙ E[ids] + P[ids]·Δ    Δ: [n, D], the new rows    P: [V, n], 1 at (t_i, i), where t are the n tokens
//     k: [V], 0 at them and else 1. At a head: y = k ⊙ (E·x) + P·(Δ·x)

import { OptionError, UnsupportedError } from '../base/errors.ts'
import { f32, type F32Tensor } from '../base/tensor.ts'
import type { GraphBuilder } from '../graph/builder.ts'
import type { Value } from '../graph/ir.ts'
import type { ModelGraph } from '../graph/model-graph.ts'
import { createTargetMatcher } from './targets.ts'
import { type AdaptableLayer, listAdaptableLayers } from './adapted-layers.ts'
import { headPath } from './keys.ts'
import { findTokens, isSavedWhole, isTokenList, type TokenChoice } from './saved-modules.ts'
import type { AdapterConfig, ParameterSpec } from './kinds/kind.ts'

/** PEFT's name of the rows, after the path of the module. */
export const tokenRowsName = 'token_adapter.trainable_tokens_delta'

/** The rows that an adapter trains of one module. */
export interface TokenTable {
  /** The module that the rows are of. */
  readonly path: string
  readonly tokens: readonly number[]
  /** The base weight with the module's rows, which a tied head shares. */
  readonly weight: string
  /** The rows as a tensor of the adapter; initially the base's rows. */
  readonly spec: ParameterSpec
}

/** The modules whose rows are trained, in the model's order. */
export function listTokenTables(config: AdapterConfig, model: ModelGraph): TokenTable[] {
  const { trainableTokens: choice } = config
  if (choice === undefined || (isTokenList(choice) && choice.length === 0)) return []
  const tables = listAdaptableLayers(model).filter(
    ({ module }) => module.kind === 'embedding' || module.path === headPath,
  )
  const embedding = tables.find(({ module }) => module.kind === 'embedding')
  if (!embedding) throw new OptionError('trainableTokens: the model has no embedding.')
  checkNames(choice, tables)
  const found = tables.flatMap((layer): TokenTable[] => {
    const tokens = findTokens(choice, layer.module.path)
    return tokens ? [createTable(tokens, layer, embedding)] : []
  })
  const own = dropTied(found, config, model)
  checkAlone(config, model, own)
  return own
}

function checkNames(choice: TokenChoice, tables: readonly AdaptableLayer[]): void {
  if (isTokenList(choice)) return
  const paths = tables.map(({ module }) => module.path)
  const lost = Object.keys(choice).filter(
    (name) => !paths.some((path) => path === name || path.endsWith(`.${name}`)),
  )
  if (lost.length > 0)
    throw new OptionError(
      `trainableTokens: ${lost.join(', ')} is not an embedding or head; there are ${paths.join(', ')}.`,
    )
}

function createTable(
  tokens: readonly number[],
  { module, weight }: AdaptableLayer,
  embedding: AdaptableLayer,
): TokenTable {
  const { inFeatures: rows, outFeatures: width } = embedding.module
  const twice = tokens.filter((token, i) => tokens.indexOf(token) !== i)
  if (twice.length > 0)
    throw new OptionError(`trainableTokens: token ${twice.join(', ')} is named twice.`)
  const outside = tokens.filter((token) => token >= rows)
  if (outside.length > 0)
    throw new OptionError(
      `trainableTokens: there is no token ${outside.join(', ')}, because the vocabulary of this base has ${rows} tokens. ` +
        'Give a base to which they were added: in Python, model.resize_token_embeddings(size), then save it.',
    )
  const spec: ParameterSpec = {
    name: tokenRowsName,
    shape: [tokens.length, width],
    trainable: true,
    reads: ['weight'],
    start: (_random, base) => selectRows(base('weight'), tokens, width),
  }
  return { path: module.path, tokens, weight: weight?.name ?? `${module.path}.weight`, spec }
}

/** A tied head with the embedding's tokens has no separate rows, as in PEFT. */
function dropTied(
  found: readonly TokenTable[],
  { ensureWeightTying = false }: AdapterConfig,
  { config: { tiedEmbeddings } }: ModelGraph,
): TokenTable[] {
  const [first, second] = found
  if (!tiedEmbeddings || !first || !second) return [...found]
  if (String(first.tokens) === String(second.tokens)) return [first]
  if (ensureWeightTying)
    throw new OptionError(
      `trainableTokens: got other tokens for ${first.path} than for ${second.path}, and ensureWeightTying keeps both alike. Give one list.`,
    )
  return [first, second]
}

/**
 * A module has either trained rows, or low-rank matrices, or a whole weight, because the order in
 * which several act would be undefined.
 */
function checkAlone(config: AdapterConfig, model: ModelGraph, tables: readonly TokenTable[]): void {
  const isTarget = createTargetMatcher(config)
  for (const layer of listAdaptableLayers(model)) {
    const { module } = layer
    if (!findTokenTable(tables, layer, model.config.tiedEmbeddings)) continue
    const isSaved = isSavedWhole(config, module.path)
    if (isSaved || isTarget(module))
      throw new UnsupportedError(
        `${module.path}: ${isSaved ? 'is saved whole' : 'is a target'} and has trained tokens (trainable_token_indices), which is not supported together.`,
      )
  }
}

function selectRows(table: Float32Array, tokens: readonly number[], width: number): Float32Array {
  const rows = new Float32Array(tokens.length * width)
  for (const [i, token] of tokens.entries())
    rows.set(table.subarray(token * width, (token + 1) * width), i * width)
  return rows
}

/** A copy of the table [V, D] with the rows of these tokens. */
export function replaceTokenRows(
  table: F32Tensor,
  tokens: readonly number[],
  rows: Float32Array,
): F32Tensor {
  const width = table.shape[1]!
  const data = table.data.slice()
  for (const [i, token] of tokens.entries())
    data.set(rows.subarray(i * width, (i + 1) * width), token * width)
  return f32(table.shape, data)
}

/** The trained rows that act on this layer: its own, or at a tied head the embedding's. */
export function findTokenTable(
  tables: readonly TokenTable[],
  { module }: AdaptableLayer,
  tied: boolean,
): TokenTable | undefined {
  const own = tables.find(({ path }) => path === module.path)
  const follows = tied && module.path === headPath
  return own ?? (follows ? tables.find(({ path }) => path !== headPath) : undefined)
}

/** The layer's output with the trained rows in place of the base's. */
export function buildTokenRows(
  g: GraphBuilder,
  { module, x }: AdaptableLayer,
  output: Value,
  { tokens, path }: Pick<TokenTable, 'tokens' | 'path'>,
): Value {
  const isTable = module.kind === 'embedding'
  const [rows, width] = isTable
    ? [module.inFeatures, module.outFeatures]
    : [module.outFeatures, module.inFeatures]
  const delta = g.input(`${path}.${tokenRowsName}`, 'f32', [tokens.length, width], 'adapter')
  const placed = new Float32Array(rows * tokens.length)
  const kept = new Float32Array(rows).fill(1)
  for (const [i, token] of tokens.entries()) {
    placed[token * tokens.length + i] = 1
    kept[token] = 0
  }
  const place = g.constant(f32([rows, tokens.length], placed))
  const keep = g.constant(f32(isTable ? [rows, 1] : [rows], kept))
  if (isTable) {
    const others = g.multiply(output, g.op('embedding', [keep, x])) // [N, T, D]
    return g.add(others, g.matmul(g.op('embedding', [place, x]), delta))
  }
  const own = g.matmul(g.matmul(x, delta, { transB: true }), place, { transB: true }) // [M, V]
  return g.add(g.multiply(output, keep), own)
}
