// Vectors of texts from a sentence encoder: a small model that was trained so that texts of like
// meaning have like vectors. In addition the hashed words of the base's embedder.

import { integer, positiveInteger, readOptions } from '../../base/schema.ts'
import { f32, type Tensor } from '../../base/tensor.ts'
import type { Backend, Program } from '../../compute/backend.ts'
import type { Encoder } from '../../graph/encoders/open-encoder.ts'
import type { BaseEmbedder } from './base-embedder.ts'
import { hashTerms } from './hashed-terms.ts'
import { cutMiddle, planBatches, scaleToLengthOne, shortenText } from './text-batches.ts'

const fields = {
  terms: integer({
    from: 0,
    default: 1024,
    about: 'Numbers of hashed words and parts of words in addition to the vector; 0: none.',
  }),
  maxTokens: positiveInteger,
}

export interface EncoderEmbedderOptions {
  /**
   * Numbers of hashed words and parts of words in addition to the vector; 0: none. Default 1024.
   */
  readonly terms?: number | undefined
  /**
   * Tokens that are read of a long prompt: half from its beginning, half from its end. Default 256.
   */
  readonly maxTokens?: number | undefined
}

/** Added to the scores of padding: far below any score, and finite where a whole row is padding. */
const hidden = -1e9

/** An embedder over a sentence encoder; its program is compiled at the first text. */
export function createEncoderEmbedder(
  encoder: Encoder,
  backend: Backend,
  options: EncoderEmbedderOptions = {},
): BaseEmbedder {
  const { terms, maxTokens = 256 } = readOptions('Options of the embedder', options, fields)
  const { config, tokenizer, name, sha256, weights } = encoder
  const { width } = config
  const most = Math.min(maxTokens, config.maxPositions - 2)
  let program: Promise<Program> | undefined
  const open = (): Promise<Program> =>
    (program ??= backend.compile(encoder.graph, { initializers: weights }))
  const [first, last] = ['[CLS]', '[SEP]'].map((token) => tokenizer.tokenId(token)!)
  const encode = (text: string): number[] => [
    first!,
    ...cutMiddle(tokenizer.encode(shortenText(text, maxTokens)), most),
    last!,
  ]
  return {
    settings: { encoder: name, terms, maxTokens },
    sha256,
    width: width + terms,
    parts: terms > 0 ? [width, terms] : [width],
    async embed(texts, signal) {
      const rows = texts.map(encode)
      const vectors: Float32Array[] = Array.from({ length: rows.length })
      for (const batch of planBatches(rows.map(({ length }) => length))) {
        signal?.throwIfAborted()
        const results = await (await open()).run(createFeeds(batch.map((i) => rows[i]!)))
        const data = results.get('vectors')!.data as Float32Array
        batch.forEach((i, n) => {
          const vector = new Float32Array(width + terms)
          vector.set(data.subarray(n * width, (n + 1) * width))
          scaleToLengthOne(vector)
          if (terms > 0) vector.set(hashTerms(texts[i]!, terms), width)
          vectors[i] = vector
        })
      }
      return vectors
    },
    dispose: async () => (await program)?.dispose(),
  }
}

/** Rows of ids, padded behind; see buildBertGraph. */
function createFeeds(rows: readonly (readonly number[])[]): Map<string, Tensor> {
  const tokens = Math.max(...rows.map(({ length }) => length))
  const shape = [rows.length, tokens]
  const ids = new BigInt64Array(rows.length * tokens)
  const positions = new BigInt64Array(rows.length * tokens)
  const mask = f32([rows.length, 1, tokens, tokens])
  const shares = f32([rows.length, 1, tokens])
  rows.forEach((row, n) => {
    for (let t = 0; t < tokens; t++) {
      ids[n * tokens + t] = BigInt(row[t] ?? 0)
      positions[n * tokens + t] = BigInt(t)
      shares.data[n * tokens + t] = t < row.length ? 1 / row.length : 0
      const at = (n * tokens + t) * tokens
      mask.data.fill(hidden, at + row.length, at + tokens)
    }
  })
  return new Map<string, Tensor>([
    ['ids', { dtype: 'i64', shape, data: ids }],
    ['positions', { dtype: 'i64', shape, data: positions }],
    ['mask', mask],
    ['shares', shares],
  ])
}
