// BERT (Devlin et al. 2018) as a graph: from token ids to one vector for each text, the mean of its
// tokens' last states. Every token attends to every other, so there is no cache and no generation.
// Independent of files and tokenizers.

import { GraphBuilder } from '../builder.ts'
import type { Dim, Graph, Value } from '../ir.ts'
import { type JsonObject, readNumber, readSize, requireValue } from '../models/read-config.ts'

export interface BertConfig {
  readonly modelType: 'bert'
  readonly vocabularySize: number
  readonly width: number // D
  readonly layers: number
  readonly heads: number
  readonly feedForwardWidth: number // F
  readonly maxPositions: number
  readonly tokenTypes: number
  readonly normEpsilon: number
}

/** Throws FormatError for sizes that are missing or wrong, UnsupportedError for other forms. */
export function readBertConfig(json: JsonObject): BertConfig {
  requireValue(json, 'hidden_act', 'gelu')
  requireValue(json, 'position_embedding_type', 'absolute')
  return {
    modelType: 'bert',
    vocabularySize: readSize(json, 'vocab_size'),
    width: readSize(json, 'hidden_size'),
    layers: readSize(json, 'num_hidden_layers'),
    heads: readSize(json, 'num_attention_heads'),
    feedForwardWidth: readSize(json, 'intermediate_size'),
    maxPositions: readSize(json, 'max_position_embeddings', 512),
    tokenTypes: readSize(json, 'type_vocab_size', 2),
    normEpsilon: readNumber(json, 'layer_norm_eps') ?? 1e-12,
  }
}

class BertBuilder extends GraphBuilder {
  readonly #config: BertConfig

  constructor(config: BertConfig) {
    super()
    this.#config = config
  }

  /** Layer normalisation: root-mean-square normalisation of the difference from the mean. */
  normalize(x: Value, path: string): Value {
    const { width, normEpsilon } = this.#config
    const mean = this.scale(this.reduceSum(x, [x.shape.length - 1], true), 1 / width)
    const scaled = this.rmsNorm(
      this.subtract(x, mean),
      this.weight(`${path}.weight`, [width]),
      normEpsilon,
    )
    return this.add(scaled, this.weight(`${path}.bias`, [width]))
  }

  project(x: Value, path: string, from: number, to: number): Value {
    const weight = this.weight(`${path}.weight`, [to, from])
    return this.linear(x, weight, path, this.weight(`${path}.bias`, [to]))
  }

  embed(ids: Value, positions: Value): Value {
    const { vocabularySize, width, maxPositions, tokenTypes } = this.#config
    const table = (name: string, rows: Dim): Value =>
      this.weight(`embeddings.${name}_embeddings.weight`, [rows, width])
    const words = this.op('embedding', [table('word', vocabularySize), ids])
    const places = this.op('embedding', [table('position', maxPositions), positions])
    // a text alone is of the first type
    const type = this.slice(table('token_type', tokenTypes), 0, 0, 1)
    return this.normalize(this.add(this.add(words, places), type), 'embeddings.LayerNorm')
  }

  layer(x: Value, mask: Value, path: string): Value {
    const { width, heads, feedForwardWidth } = this.#config
    const project = (name: string): Value =>
      this.project(x, `${path}.attention.self.${name}`, width, width)
    const headWidth = width / heads
    const seen = this.op('attention', [project('query'), project('key'), project('value'), mask], {
      heads,
      kvHeads: heads,
      headWidth,
      scale: 1 / Math.sqrt(headWidth),
      softcap: 0,
    })
    const attended = this.normalize(
      this.add(x, this.project(seen, `${path}.attention.output.dense`, width, width)),
      `${path}.attention.output.LayerNorm`,
    )
    const wide = this.op('gelu', [
      this.project(attended, `${path}.intermediate.dense`, width, feedForwardWidth),
    ])
    const narrow = this.project(wide, `${path}.output.dense`, feedForwardWidth, width)
    return this.normalize(this.add(attended, narrow), `${path}.output.LayerNorm`)
  }
}

/**
 * Inputs: `ids` and `positions` i64 [N, T], `mask` f32 [N, 1, T, T] (0, or very low where the key
 * is padding), `shares` f32 [N, 1, T] (one over the tokens of the text, 0 for padding). Output:
 * `vectors` [N, 1, D], not yet of length 1.
 */
export function buildBertGraph(config: BertConfig): Graph {
  const g = new BertBuilder(config)
  const ids = g.input('ids', 'i64', ['N', 'T'])
  const positions = g.input('positions', 'i64', ['N', 'T'])
  const mask = g.input('mask', 'f32', ['N', 1, 'T', 'T'])
  const shares = g.input('shares', 'f32', ['N', 1, 'T'])
  let states = g.embed(ids, positions)
  for (let i = 0; i < config.layers; i++) states = g.layer(states, mask, `encoder.layer.${i}`)
  g.output('vectors', g.matmul(shares, states))
  return g.build()
}
