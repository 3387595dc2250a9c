// Building blocks of decoder architectures: norms, attention, gated feed-forward, embedding, head.
// Weights and modules are named relative to the layer. Independent of any one architecture.

import { GraphBuilder } from '../builder.ts'
import type { Graph, Value } from '../ir.ts'
import type { LayerConfig, ModelConfig } from '../model-config.ts'

const EMBEDDING = 'model.embed_tokens'

/** How a layer of the common form (llama and its relatives) differs from llama's. */
export interface LayerForm {
  /** Bias of the query, key and value projections; the config's attentionBias where absent. */
  readonly qkvBias?: boolean
  /** Bias of the output projection; the config's attentionBias where absent. */
  readonly outputBias?: boolean
  /** Each query and key head has an RMSNorm, applied before RoPE. */
  readonly headNorms?: boolean
  /** The part after q_ and k_ in the names of these norms. Default 'norm'. */
  readonly headNormName?: string
  /** Added to every norm's weight: 1 for Gemma, which stores w − 1. */
  readonly normOffset?: number
  readonly activation?: 'silu' | 'geluTanh'
}

export interface Projections {
  readonly q: Value // [N, T, H·d]
  readonly k: Value // [N, T, K·d]
  readonly v: Value // [N, T, K·d]
}

/** ids [N, T] → x [N, T, D], times `scale` where the architecture has one. */
export function buildEmbedding({ vocabularySize, width }: ModelConfig, scale = 1): Graph {
  const g = new GraphBuilder()
  const table = g.weight(`${EMBEDDING}.weight`, [vocabularySize, width])
  const ids = g.input('ids', 'i64', ['N', 'T'])
  g.output('x', g.scale(g.op('embedding', [table, ids], { module: EMBEDDING }), scale))
  return g.build()
}

/** How a head differs from llama's. */
export interface HeadForm {
  readonly normOffset?: number
  /** Module of the last norm. Default 'model.norm'. */
  readonly norm?: string
  /** Factor of the logits. Default 1. */
  readonly logitScale?: number
}

/**
 * x [N, T, D] and rows [M] → hidden [M, D], the chosen positions after the last norm, and their
 * logits [M, V].
 */
export function buildModelHead(
  config: ModelConfig,
  { normOffset = 0, norm = 'model.norm', logitScale = 1 }: HeadForm = {},
): Graph {
  const g = new GraphBuilder()
  const { vocabularySize, width, tiedEmbeddings, logitSoftcap: cap } = config
  const chosen = g.op('gatherRows', [
    g.input('x', 'f32', ['N', 'T', width]),
    g.input('rows', 'i64', ['M']),
  ]) // [M, D]
  const hidden = g.rmsNorm(
    chosen,
    g.weight(`${norm}.weight`, [width]),
    config.normEpsilon,
    normOffset,
  )
  const table = g.weight(tiedEmbeddings ? `${EMBEDDING}.weight` : 'lm_head.weight', [
    vocabularySize,
    width,
  ])
  const logits = g.scale(g.linear(hidden, table, 'lm_head'), logitScale) // [M, V]
  g.output('hidden', hidden)
  g.output('logits', cap === 0 ? logits : g.scale(g.op('tanh', [g.scale(logits, 1 / cap)]), cap))
  return g.build()
}

/**
 * A linear layer of this module path, with its weight (and bias) as inputs: [.., in] → [.., out].
 */
export function buildLinear(
  g: GraphBuilder,
  x: Value,
  module: string,
  outFeatures: number,
  bias = false,
): Value {
  const weight = g.weight(`${module}.weight`, [outFeatures, x.shape[x.shape.length - 1]!])
  return g.linear(x, weight, module, bias ? g.weight(`${module}.bias`, [outFeatures]) : undefined)
}

/** RMSNorm over the last axis of x by the weight of this module. */
export function buildNorm(
  g: GraphBuilder,
  x: Value,
  module: string,
  { normEpsilon }: ModelConfig,
  offset = 0,
): Value {
  return g.rmsNorm(
    x,
    g.weight(`${module}.weight`, [x.shape[x.shape.length - 1]!]),
    normEpsilon,
    offset,
  )
}

/**
 * Queries, keys and values by three linear layers; q and k normalised head by head if the form has
 * norms.
 */
export function buildProjections(
  g: GraphBuilder,
  x: Value,
  config: ModelConfig,
  form: LayerForm = {},
): Projections {
  const { heads, kvHeads, headWidth } = config
  const bias = form.qkvBias ?? config.attentionBias
  const part = (name: string, count: number): Value =>
    buildLinear(g, x, `self_attn.${name}_proj`, count * headWidth, bias)
  const normed = (y: Value, name: string, count: number): Value => {
    if (!form.headNorms) return y
    const perHead = g.reshape(y, ['N', 'T', count, headWidth])
    return g.reshape(
      buildNorm(
        g,
        perHead,
        `self_attn.${name}_${form.headNormName ?? 'norm'}`,
        config,
        form.normOffset,
      ),
      y.shape,
    )
  }
  return {
    q: normed(part('q', heads), 'q', heads),
    k: normed(part('k', kvHeads), 'k', kvHeads),
    v: part('v', kvHeads),
  }
}

/** How attention projects back. */
export interface AttentionOutput {
  readonly bias?: boolean
  /** Default 'o_proj'. */
  readonly name?: string
  /** Factor of the values before the projection, [N, T, H·d]. */
  readonly gate?: Value
}

/** Applies RoPE to q and k (if the layer has it), attends, and projects back: → [N, T, D]. */
export function buildAttention(
  g: GraphBuilder,
  { q, k, v }: Projections,
  config: ModelConfig,
  { rope, slidingWindow }: LayerConfig,
  { bias = false, name = 'o_proj', gate }: AttentionOutput = {},
): Value {
  const { heads, kvHeads, headWidth, attentionScale: scale, attentionSoftcap: softcap } = config
  const turn = (x: Value, count: number): Value => {
    if (!rope) return x
    const half = (config.rope[rope] ?? config.rope.main).width / 2
    const table = rope === 'main' ? 'rope' : 'rope.local'
    const cos = g.input(`${table}.cos`, 'f32', ['P', half])
    const sin = g.input(`${table}.sin`, 'f32', ['P', half])
    return g.op('rotary', [x, cos, sin, g.input('positions', 'i64', ['N', 'T'])], { heads: count })
  }
  const mask = g.input(slidingWindow === undefined ? 'mask' : 'mask.sliding', 'f32', [
    'N',
    1,
    'T',
    'T',
  ])
  const mixed = g.op('attention', [turn(q, heads), turn(k, kvHeads), v, mask], {
    heads,
    kvHeads,
    headWidth,
    scale,
    softcap,
  })
  return buildLinear(
    g,
    gate ? g.multiply(mixed, gate) : mixed,
    `self_attn.${name}`,
    config.width,
    bias,
  )
}

/** Module paths of a gated feed-forward. */
export interface FeedForwardNames {
  readonly gate: string
  readonly up: string
  readonly down: string
}

const feedForwardNames: FeedForwardNames = {
  gate: 'mlp.gate_proj',
  up: 'mlp.up_proj',
  down: 'mlp.down_proj',
}

/** down(act(gate(x)) ⊙ up(x)): [N, T, D] → [N, T, D] */
export function buildFeedForward(
  g: GraphBuilder,
  x: Value,
  config: ModelConfig,
  activation: 'silu' | 'geluTanh' = 'silu',
  names = feedForwardNames,
): Value {
  const { width, feedForward: inner, mlpBias } = config
  const gate = g.op(activation, [buildLinear(g, x, names.gate, inner, mlpBias)]) // [N, T, F]
  const gated = g.multiply(gate, buildLinear(g, x, names.up, inner, mlpBias))
  return buildLinear(g, gated, names.down, width, mlpBias)
}

/** A whole layer: h = x + attention(norm(x)), then h + feed-forward(norm(h)). */
export function buildLayer(
  config: ModelConfig,
  attention: (g: GraphBuilder, x: Value) => Value,
  mlp: (g: GraphBuilder, x: Value) => Value,
): Graph {
  const g = new GraphBuilder()
  const x = g.input('x', 'f32', ['N', 'T', config.width])
  const attended = g.add(x, attention(g, x))
  g.output('x', g.add(attended, mlp(g, attended)))
  return g.build()
}

/** The layer that llama and its relatives share. */
export function buildDecoderLayer(
  config: ModelConfig,
  layer: LayerConfig,
  form: LayerForm = {},
): Graph {
  return buildLayer(
    config,
    (g, x) => {
      const projections = buildProjections(
        g,
        buildNorm(g, x, 'input_layernorm', config),
        config,
        form,
      )
      const bias = form.outputBias ?? config.attentionBias
      return buildAttention(g, projections, config, layer, { bias })
    },
    (g, x) => buildFeedForward(g, buildNorm(g, x, 'post_attention_layernorm', config), config),
  )
}
