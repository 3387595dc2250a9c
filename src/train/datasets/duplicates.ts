// Which examples of a data set are the same: exactly, or nearly. Texts by their words, vectors by
// the angle between them.

import { checkOptions, number } from '../../base/schema.ts'
import { createMatrix, sliceRows, transpose } from '../../base/linalg/matrix.ts'
import { multiply } from '../../base/linalg/matmul.ts'
import { getFastKernels } from '../../base/linalg/simd.ts'
import {
  type AdapterDataset,
  type EmbeddingDataset,
  selectExamples,
  countExamples,
  requireDataset,
} from './adapter-dataset.ts'
import { createDisjointSets } from './disjoint-sets.ts'

export interface DuplicateOptions {
  /**
   * The least cosine of two inputs that are near-duplicates; compares every pair, N²·D operations.
   * Absent: equal bits only. Ignored for texts.
   */
  readonly similarity?: number
}

/** Fields of DuplicateOptions. */
export const duplicateTable = {
  similarity: number({ above: 0, to: 1, about: 'cosine from which on inputs are near-duplicates' }),
}

/** All texts of a row, whatever its format. Labels and descriptions are not among them. */
function collectTexts(value: unknown): string[] {
  if (typeof value === 'string') return [value]
  if (Array.isArray(value)) return value.flatMap(collectTexts)
  if (typeof value !== 'object' || value === null) return []
  return Object.entries(value).flatMap(([key, part]) =>
    key === 'meta' || key === 'metadata' ? [] : collectTexts(part),
  )
}

/**
 * The text's words and numbers, without case, punctuation, white space and the encoding of accents.
 */
export const normalizeText = (text: string): string =>
  text
    .normalize('NFKC')
    .toLowerCase()
    .replace(/[^\p{L}\p{N}]+/gu, ' ')
    .trim()

/** Equal for inputs of the same bits. */
const hashVector = ({ inputs, width }: EmbeddingDataset, i: number): string => {
  const words = new Int32Array(inputs.buffer, inputs.byteOffset + 4 * i * width, width)
  let a = 0x811c9dc5
  let b = 0x9e3779b9 // two FNV-1a hashes of 32 bits: a collision once in 10¹⁹ pairs
  for (const word of words) {
    a = Math.imul(a ^ word, 0x01000193)
    b = Math.imul(b ^ (word >>> 7) ^ word, 0x85ebca6b)
  }
  return `${a}:${b}`
}

const listExactKeys = (dataset: AdapterDataset): string[] =>
  dataset.level === 'text'
    ? dataset.rows.map((row) => normalizeText(collectTexts(row).join(' ')))
    : Array.from({ length: countExamples(dataset) }, (_, i) => hashVector(dataset, i))

// rows compared with all others at a time: a [256, N] block of cosines in memory
const blockRows = 256

/** Calls `found` for every pair of inputs whose cosine is at least `similarity`. */
function visitNearPairs(
  { inputs, width }: EmbeddingDataset,
  similarity: number,
  found: (a: number, b: number) => void,
): void {
  const count = inputs.length / width
  const unit = inputs.slice()
  for (let i = 0; i < count; i++) {
    const row = unit.subarray(i * width, (i + 1) * width)
    let squares = 0
    for (let j = 0; j < width; j++) squares += row[j]! * row[j]!
    const scale = squares > 0 ? 1 / Math.sqrt(squares) : 0
    for (let j = 0; j < width; j++) row[j]! *= scale
  }
  const all = createMatrix(count, width, unit)
  for (let start = 0; start < count; start += blockRows) {
    const rows = Math.min(blockRows, count - start)
    const later = count - start
    const cosines = createMatrix(rows, later, new Float32Array(rows * later))
    multiply(cosines, sliceRows(all, start, rows), transpose(sliceRows(all, start, later)), {
      kernel: getFastKernels().f32,
    })
    for (let a = 0; a < rows; a++)
      for (let b = a + 1; b < later; b++)
        if (cosines.data[a * later + b]! >= similarity) found(start + a, start + b)
  }
}

/**
 * For every example, the number of its first duplicate, followed through chains of near-duplicates.
 * Texts are compared by their words; vectors by the bits of their inputs, or by `similarity`.
 * Throws OptionError for a similarity that is not above 0 and up to 1.
 */
export function groupDuplicates(
  dataset: AdapterDataset,
  options: DuplicateOptions = {},
): Int32Array {
  requireDataset('groupDuplicates', dataset)
  checkOptions('Options for duplicates', options, duplicateTable)
  const { similarity } = options
  const groups = createDisjointSets(countExamples(dataset))
  const first = new Map<string, number>()
  listExactKeys(dataset).forEach((key, i) => {
    const known = first.get(key)
    if (known === undefined) first.set(key, i)
    else groups.join(known, i)
  })
  if (similarity !== undefined && dataset.level === 'embedding')
    visitNearPairs(dataset, similarity, groups.join)
  return Int32Array.from({ length: countExamples(dataset) }, (_, i) => groups.find(i))
}

export interface DeduplicatedDataset<Data extends AdapterDataset> {
  readonly dataset: Data
  /** Numbers of the examples that were left out. */
  readonly removed: readonly number[]
}

/**
 * The data set with one example of each group of duplicates: the one of the highest quality, the
 * first among equals. Order is kept.
 */
export function deduplicate<Data extends AdapterDataset>(
  dataset: Data,
  options: DuplicateOptions = {},
): DeduplicatedDataset<Data> {
  const groups = groupDuplicates(dataset, options)
  const best = new Map<number, number>()
  groups.forEach((group, i) => {
    const known = best.get(group)
    if (known === undefined || dataset.quality[i]! > dataset.quality[known]!) best.set(group, i)
  })
  const kept = [...best.values()].sort((a, b) => a - b)
  const keeps = new Set(kept)
  const removed = Array.from(groups.keys()).filter((i) => !keeps.has(i))
  return { dataset: removed.length === 0 ? dataset : selectExamples(dataset, kept), removed }
}
