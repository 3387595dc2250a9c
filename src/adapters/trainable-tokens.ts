// Single tokens whose rows of the embedding an adapter trains (PEFT's trainable_token_indices): the
// cheap way to teach added tokens. Where the head shares the embedding, its rows are the same.
//
//     y = k ⊙ E[ids] + P[ids]·Δ    Δ: [n, D], the new rows    P: [V, n], 1 at (t_i, i), where t are the n tokens
//     k: [V], 0 at them and else 1. At a tied head: y = k ⊙ (E·x) + P·(Δ·x)

import { OptionError, UnsupportedError } from '../base/errors.ts'
import { f32, type F32Tensor } from '../base/tensor.ts'
import type { GraphBuilder } from '../graph/builder.ts'
import type { Value } from '../graph/ir.ts'
import type { ModelGraph } from '../graph/model-graph.ts'
import { createTargetMatcher } from './targets.ts'
import { listAdaptableLayers, type AdaptableLayer } from './adapted-layers.ts'
import type { AdapterConfig, ParameterSpec } from './kinds/kind.ts'

/** PEFT's name of the rows, after the path of the embedding. */
export const tokenRowsName = 'token_adapter.trainable_tokens_delta'

/** The embedding of a model; undefined where it has none. */
const findEmbedding = (model: ModelGraph): AdaptableLayer | undefined =>
  listAdaptableLayers(model).find(({ module }) => module.kind === 'embedding')

/** The rows as a tensor of the adapter, which start as the base's, with their module's path. */
export function listTokenSpecs(
  config: AdapterConfig,
  model: ModelGraph,
): { readonly path: string; readonly spec: ParameterSpec }[] {
  const { trainableTokens = [] } = config
  if (trainableTokens.length === 0) return []
  const embedding = findEmbedding(model)
  if (!embedding) throw new OptionError('trainableTokens: the model has no embedding.')
  const { inFeatures: rows, outFeatures: width, path } = embedding.module
  checkNotTargeted(config, model)
  const twice = trainableTokens.filter((token, i) => trainableTokens.indexOf(token) !== i)
  if (twice.length > 0)
    throw new OptionError(`trainableTokens: token ${twice.join(', ')} is named twice.`)
  const outside = trainableTokens.filter((token) => token >= rows)
  if (outside.length > 0)
    throw new OptionError(
      `trainableTokens: there is no token ${outside.join(', ')}, because the vocabulary of this base has ${rows} tokens. ` +
        'Give a base to which they were added: in Python, model.resize_token_embeddings(size), then save it.',
    )
  const spec: ParameterSpec = {
    name: tokenRowsName,
    shape: [trainableTokens.length, width],
    trainable: true,
    reads: ['weight'],
    start: (_random, base) => selectRows(base('weight'), trainableTokens, width),
  }
  return [{ path, spec }]
}

/** A module has trained rows or low-rank matrices: which acts first is nowhere said. */
function checkNotTargeted(config: AdapterConfig, model: ModelGraph): void {
  const isTarget = createTargetMatcher(config)
  const both = listAdaptableLayers(model).find(
    (layer) => areTokensIn(config, layer, model.config.tiedEmbeddings) && isTarget(layer.module),
  )
  if (both)
    throw new UnsupportedError(
      `${both.module.path}: is a target and has trained tokens (trainable_token_indices), which is not supported together.`,
    )
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

/** Whether the trained rows act on this layer: the embedding, or a head that shares it. */
export const areTokensIn = (
  { trainableTokens = [] }: AdapterConfig,
  { module, name }: AdaptableLayer,
  tied: boolean,
): boolean =>
  trainableTokens.length > 0 && (module.kind === 'embedding' || (tied && name === 'lm_head'))

/** The layer's output with the trained rows in place of the base's; `path` is the embedding's. */
export function buildTokenRows(
  g: GraphBuilder,
  { module, x }: AdaptableLayer,
  output: Value,
  { tokens, path }: { readonly tokens: readonly number[]; readonly path: string },
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
