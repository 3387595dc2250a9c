// Vectors of texts from the base's own first layers: no second model is downloaded, and half of
// the base is enough to find the topic of a prompt.

import { OptionError } from '../../base/errors.ts'
import {
  integer,
  listOf,
  oneOf,
  positiveInteger,
  readOptions,
  withInfo,
} from '../../base/schema.ts'
import { f32, type Tensor } from '../../base/tensor.ts'
import { computeServedIdentity } from '../../graph/model-identity.ts'
import type { Model } from '../../runtime/model.ts'
import { getModelParts } from '../../runtime/model-parts.ts'
import { createFrontProgram, type FrontProgram } from '../../runtime/programs/front-program.ts'
import type { TextEmbedder } from '../router.ts'
import { hashTerms } from './hashed-terms.ts'
import { cutMiddle, planBatches, scaleToLengthOne, shortenText } from './text-batches.ts'

const poolings = ['mean', 'last', 'max'] as const
export type Pooling = (typeof poolings)[number]
const productForms = ['same', 'int8'] as const

export const embedderFields = {
  layers: listOf(positiveInteger, {
    least: 1,
    about: 'After how many layers of the base the states are taken; several are joined.',
  }),
  pooling: listOf(oneOf(poolings), {
    least: 1,
    default: ['mean'] as readonly Pooling[],
    about: 'How the states of a prompt become one vector; several are joined.',
  }),
  terms: integer({
    from: 0,
    default: 1024,
    about: 'Numbers of hashed words and parts of words in addition to the states; 0: none.',
  }),
  maxTokens: positiveInteger,
  products: withInfo(oneOf(productForms), {
    default: 'int8' as const,
    about: "How the layers multiply: 'int8' in 8 bits, 2.5 times as fast; 'same' as in prefill.",
  }),
}

export interface BaseEmbedderOptions {
  /** After how many layers; several are joined. Default: a sixth, a third and half of them. */
  readonly layers?: readonly number[] | undefined
  /** Default: the mean. */
  readonly pooling?: readonly Pooling[] | undefined
  /**
   * Tokens that are read of a long prompt: half from its beginning, half from its end. Default 256.
   */
  readonly maxTokens?: number | undefined
  /**
   * Numbers of hashed words and parts of words in addition to the states; 0: none. Default 1024.
   */
  readonly terms?: number | undefined
  /**
   * How the layers multiply. 'int8' (default): in 8 bits, where 40 tokens take 8 ms and not 20 (10 layers);
   * 'same': as the engine reads prompts, several texts at once.
   */
  readonly products?: (typeof productForms)[number] | undefined
}

/** An embedder whose program can be disposed. */
export interface BaseEmbedder extends TextEmbedder {
  dispose(): Promise<void>
}

/** After a sixth, a third and half of the layers: late enough for meaning, early enough for 20 ms. */
const chooseLayers = (count: number): number[] => {
  const layers = [6, 3, 2].map((part) => Math.round(count / part))
  return [...new Set(layers.map((layer) => Math.max(1, Math.min(layer, count - 1))))]
}

/**
 * An embedder over a model that createModel or loadModel made; its program is compiled at the first
 * text. Throws OptionError for a model without a tokenizer and for wrong options.
 */
export async function createBaseEmbedder(
  model: Model,
  options: BaseEmbedderOptions = {},
): Promise<BaseEmbedder> {
  const given = readOptions('Options of the embedder', options, embedderFields)
  const { base, weights, backend, sample } = getModelParts(model)
  const { tokenizer, config } = base
  if (!tokenizer)
    throw new OptionError(`Model "${base.name}" has no tokenizer, and prompts are texts.`)
  const layers = given.layers ?? chooseLayers(config.layers.length)
  const { pooling, terms, products, maxTokens = 256 } = given
  const isSummed = !pooling.includes('max')
  let program: Promise<FrontProgram> | undefined
  const open = (): Promise<FrontProgram> =>
    (program ??= createFrontProgram({
      model: base.graph,
      weights,
      backend,
      accuracy: 'fast',
      layers,
      products,
      sample,
      sums: isSummed,
    }))
  const lead = tokenizer.bosId === undefined ? [] : [tokenizer.bosId]
  const encode = (text: string): number[] => {
    const ids = tokenizer.encode(shortenText(text, maxTokens))
    return [...lead, ...cutMiddle(ids.length > 0 ? ids : [tokenizer.eosId ?? 0], maxTokens)]
  }
  // Products in 8 bits take one row a run.
  const plan = (lengths: readonly number[]): number[][] =>
    planBatches(lengths, products === 'int8' ? 1 : undefined)
  const stateCount = config.width * layers.length * pooling.length
  return {
    // 'same' is not named, because files from before there was a choice must still fit.
    settings: { layers, pooling, terms, maxTokens, ...(products !== 'same' && { products }) },
    sha256: await computeServedIdentity(base),
    width: stateCount + terms,
    parts: terms > 0 ? [stateCount, terms] : [stateCount],
    async embed(texts, signal) {
      const rows = texts.map(encode)
      const vectors: Float32Array[] = Array.from({ length: rows.length })
      for (const batch of plan(rows.map(({ length }) => length))) {
        signal?.throwIfAborted()
        const pieces = batch.map((i) => rows[i]!)
        const sums = isSummed ? createSums(pieces, lead.length, pooling) : undefined
        const states = await (await open()).run(pieces, sums)
        batch.forEach((i, n) => {
          const vector = new Float32Array(stateCount + terms)
          if (isSummed) vector.set(joinSums(states, n, pooling.length))
          else vector.set(poolStates(states, n, lead.length, rows[i]!.length, pooling))
          if (terms > 0) vector.set(hashTerms(texts[i]!, terms), stateCount)
          vectors[i] = vector
        })
      }
      return vectors
    },
    dispose: async () => (await program)?.dispose(),
  }
}

/** Weights of the tokens of each row in each pooling, [N, R, T]: 1/count, or 1 for the last one. */
function createSums(
  rows: readonly (readonly number[])[],
  first: number,
  pooling: readonly Pooling[],
): Tensor<Float32Array> {
  const tokens = Math.max(...rows.map(({ length }) => length))
  const sums = f32([rows.length, pooling.length, tokens])
  rows.forEach(({ length }, n) =>
    pooling.forEach((kind, r) => {
      const own = sums.data.subarray((n * pooling.length + r) * tokens).subarray(0, length)
      if (kind === 'last') own[length - 1] = 1
      else own.fill(1 / (length - first), first)
    }),
  )
  return sums
}

/** One row's vector from sums [N, R, D] of every layer, each part scaled to length 1. */
function joinSums(sums: readonly Tensor<Float32Array>[], row: number, count: number): Float32Array {
  const width = sums[0]!.shape[2]!
  const out = new Float32Array(sums.length * count * width)
  sums.forEach(({ data }, s) =>
    out.set(data.subarray(row * count * width, (row + 1) * count * width), s * count * width),
  )
  for (let at = 0; at < out.length; at += width) scaleToLengthOne(out.subarray(at, at + width))
  return out
}

/** One row's vector: for every layer and pooling D numbers, each part scaled to length 1. */
function poolStates(
  states: readonly Tensor<Float32Array>[],
  row: number,
  first: number,
  end: number,
  pooling: readonly Pooling[],
): Float32Array {
  const width = states[0]!.shape[2]!
  const out = new Float32Array(states.length * pooling.length * width)
  states.forEach(({ data, shape }, s) => {
    const tokens = data.subarray(row * shape[1]! * width, (row * shape[1]! + end) * width)
    pooling.forEach((kind, p) => {
      const at = (s * pooling.length + p) * width
      const part = out.subarray(at, at + width)
      poolTokens(tokens.subarray(first * width), width, kind, part)
      scaleToLengthOne(part)
    })
  })
  return out
}

function poolTokens(tokens: Float32Array, width: number, kind: Pooling, out: Float32Array): void {
  const last = tokens.length - width
  if (kind === 'last') return out.set(tokens.subarray(last))
  if (kind === 'max') out.fill(-Infinity)
  for (let at = 0; at <= last; at += width) {
    if (kind === 'mean') for (let i = 0; i < width; i++) out[i]! += tokens[at + i]!
    else for (let i = 0; i < width; i++) out[i] = Math.max(out[i]!, tokens[at + i]!)
  }
}
