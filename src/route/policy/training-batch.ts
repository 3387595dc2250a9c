// Examples of a policy's training in batches of like length, as feeds of its graph: dropout, the
// heads' targets, and padding after short texts.

import type { Random } from '../../base/random.ts'
import { f32, type Tensor } from '../../base/tensor.ts'
import { listHeads, type HeadName, type PolicyShape } from './policy-weights.ts'
import { writeWordVector } from './word-vectors.ts'

export interface PolicyExample {
  readonly words: readonly Int32Array[]
  /** Number of the right expert; −1: none of them. */
  readonly expert: number
  /** Number of the right tier; −1: not known. */
  readonly tier: number
  /** What a teacher gives each expert; they sum to 1. */
  readonly taught?: Float32Array | undefined
}

export interface BatchSettings {
  readonly dropout: number
  readonly wordDropout: number
  readonly labelSmoothing: number
  /** How much of the wanted shares a teacher's are. */
  readonly teaching: number
}

/** Lengths that graphs are made for: a text is padded to the next one. */
const lengths = [2, 4, 6, 8, 10, 12, 14, 16, 20, 24, 28, 32, 40, 48, 64]

export const findLength = (words: number): number =>
  lengths.find((length) => length >= words) ?? Math.ceil(words / 64) * 64

/** A new order of all examples, as batches of examples that are padded to one length. */
export function drawBatches(
  examples: readonly PolicyExample[],
  size: number,
  random: Random,
): number[][] {
  const byLength = new Map<number, number[]>()
  for (const i of random.shuffle([...examples.keys()])) {
    const length = findLength(examples[i]!.words.length)
    const group = byLength.get(length)
    if (group) group.push(i)
    else byLength.set(length, [i])
  }
  const batches = [...byLength.values()].flatMap((group) =>
    Array.from({ length: Math.ceil(group.length / size) }, (_, k) =>
      group.slice(k * size, (k + 1) * size),
    ),
  )
  return random.shuffle(batches)
}

/** 0 or 1/(1 − p) for each number. */
function drawMask(length: number, p: number, random: Random): Float32Array {
  const mask = new Float32Array(length)
  const kept = 1 / (1 - p)
  for (let i = 0; i < length; i++) mask[i] = p > 0 && random.uniform() < p ? 0 : kept
  return mask
}

export interface TrainingBatch {
  readonly examples: readonly PolicyExample[]
  readonly steps: number
  readonly feeds: Map<string, Tensor>
  /** What each word's vector was multiplied by, by step. */
  readonly masks: readonly Float32Array[]
}

/**
 * One batch as feeds. `right`: whether the policy was right on each example when it last met it.
 */
export function createBatch(
  table: Float32Array,
  shape: PolicyShape,
  examples: readonly PolicyExample[],
  right: readonly boolean[],
  settings: BatchSettings,
  random: Random,
): TrainingBatch {
  const { width, hidden } = shape
  const steps = findLength(Math.max(...examples.map(({ words }) => words.length)))
  const feeds = new Map<string, Tensor>()
  const masks: Float32Array[] = []
  for (let t = 0; t < steps; t++) {
    const word = f32([examples.length, width])
    const present = f32([examples.length, 1])
    const share = f32([examples.length, 1])
    const mask = drawMask(word.data.length, settings.dropout, random)
    for (const [n, { words }] of examples.entries()) {
      if (t >= words.length) continue
      present.data[n] = 1
      share.data[n] = 1 / words.length
      const own = mask.subarray(n * width, (n + 1) * width)
      if (settings.wordDropout > 0 && random.uniform() < settings.wordDropout) own.fill(0)
      const vector = word.data.subarray(n * width, (n + 1) * width)
      writeWordVector(table, words[t]!, vector)
      for (let i = 0; i < width; i++) vector[i]! *= own[i]!
    }
    feeds.set(`word${t}`, word).set(`present${t}`, present).set(`share${t}`, share)
    masks.push(mask)
  }
  const kept = f32(
    [examples.length, hidden],
    drawMask(examples.length * hidden, settings.dropout, random),
  )
  feeds.set('kept', kept)
  for (const [head, size] of listHeads(shape))
    setWanted(feeds, head, size, examples, right, settings)
  return { examples, steps, feeds, masks }
}

function setWanted(
  feeds: Map<string, Tensor>,
  head: HeadName,
  size: number,
  examples: readonly PolicyExample[],
  right: readonly boolean[],
  settings: BatchSettings,
): void {
  const wanted = f32([examples.length, size])
  const counts = f32([examples.length])
  for (const [n, example] of examples.entries()) {
    const row = wanted.data.subarray(n * size, (n + 1) * size)
    if (head === 'confidence') row[0] = example.expert >= 0 && right[n]! ? 1 : 0
    else fillShares(row, head === 'expert' ? example.expert : example.tier, settings.labelSmoothing)
    if (head === 'expert' && example.taught)
      for (let i = 0; i < size; i++)
        row[i] = (1 - settings.teaching) * row[i]! + settings.teaching * example.taught[i]!
    counts.data[n] = head === 'tier' && example.tier < 0 ? 0 : 1 / examples.length
  }
  feeds.set(`wanted.${head}`, wanted).set(`counts.${head}`, counts)
}

/** 1 − ε at the label and ε spread over all; even shares if there is no label. */
function fillShares(row: Float32Array, label: number, smoothing: number): void {
  row.fill(label < 0 ? 1 / row.length : smoothing / row.length)
  if (label >= 0) row[label]! += 1 - smoothing
}
