// A prompt as the context of a bandit: words hashed into a few numbers of length 1, or a sentence
// vector projected onto random directions; the last number is always 1.

import { random } from '../../base/random.ts'
import { listBuckets, listWords } from '../policy/word-buckets.ts'
import type { TextEmbedder } from '../router.ts'

const readWords = 256

/** Every word adds ±1 at a hashed place; then all are scaled to length 1. */
export function hashContext(text: string, width: number): Float64Array {
  const x = new Float64Array(width)
  for (const word of listWords(text, readWords)) {
    const bucket = listBuckets(word, 2 ** 30)[0]!
    x[(bucket >>> 1) % (width - 1)]! += bucket % 2 === 0 ? 1 : -1
  }
  return finishContext(x)
}

/** Random directions [width − 1, D] of a seed; the same ones for every bandit of this width. */
export function createProjection(
  from: number,
  width: number,
): (vector: Float32Array) => Float64Array {
  const draw = random(width * 31 + from)
  const directions = Float32Array.from({ length: (width - 1) * from }, () => draw.normal())
  return (vector) => {
    const x = new Float64Array(width)
    for (let i = 0, at = 0; i < width - 1; i++)
      for (let j = 0; j < from; j++, at++) x[i]! += directions[at]! * vector[j]!
    return finishContext(x)
  }
}

function finishContext(x: Float64Array): Float64Array {
  const last = x.length - 1
  x[last] = 0
  const length = Math.sqrt(x.reduce((sum, value) => sum + value * value, 0))
  if (length > 0) for (let i = 0; i < last; i++) x[i]! /= length
  x[last] = 1
  return x
}

export type ContextReader = (
  text: string,
  signal?: AbortSignal,
) => Promise<Float64Array> | Float64Array

/** By words if there is no embedder. */
export function createContextReader(width: number, embedder?: TextEmbedder): ContextReader {
  if (!embedder) return (text) => hashContext(text, width)
  const project = createProjection(embedder.width, width)
  return async (text, signal) => project((await embedder.embed([text], signal))[0]!)
}
