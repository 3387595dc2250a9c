// Distils a larger model into a policy during training: word similarity, and the experts near each
// prompt. The larger model is not needed for decisions.

import { createMatrix } from '../../base/linalg/matrix.ts'
import { truncateDense } from '../../base/linalg/low-rank.ts'
import { getFastKernels } from '../../base/linalg/simd.ts'
import { computeSoftmax } from '../calibration/make-decision.ts'
import { logistic } from '../heads/logistic.ts'
import type { TextEmbedder } from '../router.ts'
import type { NumberedPrompt } from '../training/training-set.ts'
import { listBuckets, listWords } from './word-buckets.ts'
import { writeWordVector } from './word-vectors.ts'

/** Root mean square of a word's numbers, as at a start that is drawn. */
const usualSize = 0.5
/** Times that every word is met, and how much of its error each time takes away. */
const rounds = 12
const relaxation = 0.5

/**
 * A change of the table by which words of like meaning get like vectors: the embedder's vectors of
 * the words, in as many directions as the table is wide, spread over their pieces (Zhao et al. 2018,
 * "Generalizing word embeddings using bag of subwords"). Each step solves one word's equation
 * (Kaczmarz).
 */
export async function teachWords(
  prompts: readonly NumberedPrompt[],
  { buckets, width, maxWords }: Readonly<Record<'buckets' | 'width' | 'maxWords', number>>,
  embedder: TextEmbedder,
): Promise<(table: Float32Array) => void> {
  const words = [...new Set(prompts.flatMap(({ text }) => listWords(text, maxWords)))]
  const wanted = await projectWords(words, width, embedder)
  const places = words.map((word) => listBuckets(word, buckets))
  return (table) => {
    const own = new Float64Array(width)
    for (let round = 0; round < rounds; round++)
      for (const [n, place] of places.entries()) {
        writeWordVector(table, place, own)
        const share = relaxation / Math.sqrt(place.length)
        for (let i = 0; i < width; i++) own[i] = share * (wanted[n * width + i]! - own[i]!)
        for (const bucket of place)
          for (let i = 0; i < width; i++) table[bucket * width + i]! += own[i]!
      }
  }
}

/** [words, width]: the directions in which the vectors of the words differ most. */
async function projectWords(
  words: readonly string[],
  width: number,
  embedder: TextEmbedder,
): Promise<Float32Array> {
  const [stateWidth = embedder.width] = embedder.parts ?? []
  const vectors = await embedder.embed(words)
  const mean = new Float32Array(stateWidth)
  for (const vector of vectors)
    for (let i = 0; i < stateWidth; i++) mean[i]! += vector[i]! / vectors.length
  const all = new Float32Array(words.length * stateWidth)
  vectors.forEach((vector, n) => {
    for (let i = 0; i < stateWidth; i++) all[n * stateWidth + i] = vector[i]! - mean[i]!
  })
  const { b } = truncateDense(createMatrix(words.length, stateWidth, all), {
    rank: width,
    seed: 0,
    kernel: getFastKernels().f32,
  })
  const out = new Float32Array(words.length * width)
  let squares = 0
  for (let n = 0; n < words.length; n++)
    for (let k = 0; k < b.columns; k++) {
      const value = b.data[b.start + n * b.rowStride + k * b.columnStride]!
      squares += value * value
      out[n * width + k] = value
    }
  const scale = squares > 0 ? usualSize / Math.sqrt(squares / out.length) : 0
  return out.map((value) => value * scale)
}

/**
 * The shares of the experts that logistic regression over the embedder's vectors gives each prompt;
 * it is fitted on the other half, because on its own prompts it is as sure as the labels are.
 */
export async function teachShares(
  prompts: readonly NumberedPrompt[],
  experts: number,
  embedder: TextEmbedder,
): Promise<(Float32Array | undefined)[]> {
  const vectors = await embedder.embed(prompts.map(({ text }) => text))
  const counts = new Map<number, number>()
  const halves = prompts.map(({ expert }) => {
    const count = counts.get(expert) ?? 0
    counts.set(expert, count + 1)
    return expert < 0 ? -1 : count % 2
  })
  const heads = [0, 1].map((half) => {
    const others = [...prompts.keys()].filter((i) => halves[i] === 1 - half)
    return others.length === 0
      ? undefined
      : logistic.fit({
          vectors: others.map((i) => vectors[i]!),
          classes: others.map((i) => prompts[i]!.expert),
          count: experts,
          shrinkage: 0,
          parts: embedder.parts,
        })
  })
  return vectors.map((vector, i) => {
    const head = heads[halves[i]!]
    return head && Float32Array.from(computeSoftmax(head.logits(vector)))
  })
}
