// The linear head of routers: linear discriminant analysis with a shrunken covariance. It is solved
// in closed form, gives every class the same weight however many examples it has, and takes a new
// class by its mean alone.

import { OptionError } from '../../base/errors.ts'
import { computeGram, multiplyToF64 } from '../../base/linalg/gram.ts'
import { createMatrix, createZeros, type Matrix, transpose } from '../../base/linalg/matrix.ts'
import { computeCholesky, computeEigen } from '../../base/linalg/symmetric.ts'

/**
 * z = P·x − shift [K], in which a class is a ball of variance 1 around its mean; the logit of class
 * c is −½·‖z − m_c‖².
 */
export interface Discriminant {
  readonly width: number // D
  readonly rank: number // K
  /** P, [K, D] */
  readonly directions: Float32Array
  /** P·μ, [K] */
  readonly shift: Float32Array
  /** m, [C, K] */
  readonly means: Float32Array
}

export interface DiscriminantOptions {
  /**
   * How much of the covariance within classes is replaced by its mean variance times the identity,
   * 0–1: more for few examples.
   */
  readonly shrinkage: number
  /** Directions at most. Default: as many as can separate classes, C − 1. */
  readonly rank?: number | undefined
}

/** The smallest share of the largest variance between classes that a direction must have. */
const leastShare = 1e-6

/** Fits vectors [N][D] with a class 0…C−1 each. Throws OptionError if a class has no example. */
export function fitDiscriminant(
  vectors: readonly Float32Array[],
  classes: readonly number[],
  count: number,
  { shrinkage, rank }: DiscriminantOptions,
): Discriminant {
  const width = vectors[0]?.length ?? 0
  const { mean, means, sizes } = averageClasses(vectors, classes, count, width)
  const empty = sizes.indexOf(0)
  if (empty !== -1) throw new OptionError(`Class ${empty} has no examples.`)
  const spread = computeSpread(vectors, classes, means, sizes, shrinkage)
  const root = computeCholesky(spread)
  const white = whitenMeans(root, means, mean, count, width)
  const axes = selectAxes(white, rank ?? count - 1)
  const directions = restoreAxes(root, axes)
  const shift = multiplyVector(directions, mean, axes.rows, width)
  const centred = multiplyToF64(white, transpose(axes))
  return {
    width,
    rank: axes.rows,
    directions: Float32Array.from(directions),
    shift: Float32Array.from(shift),
    means: Float32Array.from(centred.data),
  }
}

function averageClasses(
  vectors: readonly Float32Array[],
  classes: readonly number[],
  count: number,
  width: number,
) {
  const means = new Float64Array(count * width)
  const sizes = new Array<number>(count).fill(0)
  vectors.forEach((vector, n) => {
    const at = classes[n]! * width
    sizes[classes[n]!]!++
    for (let i = 0; i < width; i++) means[at + i]! += vector[i]!
  })
  const mean = new Float64Array(width)
  for (let c = 0; c < count; c++) {
    for (let i = 0; i < width; i++) {
      means[c * width + i]! /= Math.max(1, sizes[c]!)
      mean[i]! += means[c * width + i]! / count
    }
  }
  return { mean, means, sizes }
}

/** Rows of a Gram product at a time, so that centred copies stay small. */
const blockRows = 2048

/**
 * The covariance within classes, every class counted alike, shrunk towards the identity. A floor on
 * the diagonal keeps it positive where a feature never varies.
 */
function computeSpread(
  vectors: readonly Float32Array[],
  classes: readonly number[],
  means: Float64Array,
  sizes: readonly number[],
  shrinkage: number,
): Matrix<Float64Array> {
  const width = vectors[0]!.length
  const total = createZeros(width, width)
  const classCount = sizes.length
  for (let start = 0; start < vectors.length; start += blockRows) {
    const rows = Math.min(blockRows, vectors.length - start)
    const centred = createMatrix(rows, width, new Float32Array(rows * width))
    for (let n = 0; n < rows; n++) {
      const c = classes[start + n]!
      const weight = Math.sqrt(1 / (sizes[c]! * classCount))
      const vector = vectors[start + n]!
      for (let i = 0; i < width; i++)
        centred.data[n * width + i] = weight * (vector[i]! - means[c * width + i]!)
    }
    const { data } = computeGram(centred)
    for (let i = 0; i < data.length; i++) total.data[i]! += data[i]!
  }
  shrinkSpread(total, shrinkage)
  return total
}

function shrinkSpread({ data, rows }: Matrix<Float64Array>, shrinkage: number): void {
  let trace = 0
  for (let i = 0; i < rows; i++) trace += data[i * (rows + 1)]!
  const mean = trace / rows
  for (let i = 0; i < rows; i++) {
    const diagonal = data[i * (rows + 1)]!
    for (let j = 0; j < rows; j++) data[i * rows + j]! *= 1 - shrinkage
    data[i * (rows + 1)] =
      (1 - shrinkage) * diagonal + shrinkage * mean + 1e-6 * mean + Number.MIN_VALUE
  }
  if (mean === 0) for (let i = 0; i < rows; i++) data[i * (rows + 1)] = 1
}

/** Rows y_c with rᵀ·y_c = m_c − m, [C, D]: the means where the spread is the identity. */
function whitenMeans(
  { data: r }: Matrix<Float64Array>,
  means: Float64Array,
  mean: Float64Array,
  count: number,
  width: number,
): Matrix<Float64Array> {
  const white = createZeros(count, width)
  for (let c = 0; c < count; c++) {
    const y = white.data.subarray(c * width, (c + 1) * width)
    for (let i = 0; i < width; i++) y[i] = means[c * width + i]! - mean[i]!
    for (let i = 0; i < width; i++) {
      const pivot = r[i * width + i]!
      const value = pivot === 0 ? 0 : y[i]! / pivot
      y[i] = value
      if (value !== 0) for (let j = i + 1; j < width; j++) y[j]! -= value * r[i * width + j]!
    }
  }
  return white
}

/** The principal axes of the whitened means, [K, D], the widest first. */
function selectAxes(white: Matrix<Float64Array>, most: number): Matrix<Float64Array> {
  const { values, vectors } = computeEigen(computeGram(transpose(white)))
  const largest = Math.max(values[0]!, Number.MIN_VALUE)
  const kept = values.filter((value) => value > leastShare * largest).length
  const rank = Math.max(1, Math.min(kept, most))
  const first = createMatrix(rank, white.rows, vectors.data.slice(0, rank * white.rows))
  const axes = multiplyToF64(first, white)
  for (let k = 0; k < rank; k++) {
    const length = Math.sqrt(Math.max(values[k]!, 0)) || 1
    for (let i = 0; i < white.columns; i++) axes.data[k * white.columns + i]! /= length
  }
  return axes
}

/** Rows p with r·p = e for every axis e, [K, D]: the factor of raw vectors. */
function restoreAxes({ data: r }: Matrix<Float64Array>, axes: Matrix<Float64Array>): Float64Array {
  const width = axes.columns
  const out = axes.data.slice(0, axes.rows * width)
  for (let k = 0; k < axes.rows; k++) {
    const p = out.subarray(k * width, (k + 1) * width)
    for (let i = width - 1; i >= 0; i--) {
      let rest = p[i]!
      for (let j = i + 1; j < width; j++) rest -= r[i * width + j]! * p[j]!
      const pivot = r[i * width + i]!
      p[i] = pivot === 0 ? 0 : rest / pivot
    }
  }
  return out
}

function multiplyVector(
  matrix: Float64Array | Float32Array,
  vector: Float64Array | Float32Array,
  rows: number,
  columns: number,
): Float64Array {
  const out = new Float64Array(rows)
  for (let row = 0; row < rows; row++) {
    let sum = 0
    for (let i = 0, at = row * columns; i < columns; i++) sum += matrix[at + i]! * vector[i]!
    out[row] = sum
  }
  return out
}

/** z of one vector, [K]. */
export function projectVector(head: Discriminant, vector: Float32Array): Float32Array {
  const { directions, shift, rank, width } = head
  const product = multiplyVector(directions, vector, rank, width)
  return Float32Array.from(product, (value, k) => value - shift[k]!)
}

/** −½·‖z − m_c‖² of every class, [C]. */
export function scoreClasses({ means, rank }: Discriminant, z: Float32Array): Float64Array {
  const scores = new Float64Array(means.length / rank)
  for (let c = 0; c < scores.length; c++) {
    let sum = 0
    for (let k = 0, at = c * rank; k < rank; k++) sum += (z[k]! - means[at + k]!) ** 2
    scores[c] = -sum / 2
  }
  return scores
}

/** The head with a class added, from vectors of its examples; the other classes do not change. */
export function addClass(head: Discriminant, vectors: readonly Float32Array[]): Discriminant {
  if (vectors.length === 0) throw new OptionError('A class is added by at least one example.')
  const mean = new Float32Array(head.rank)
  for (const vector of vectors)
    projectVector(head, vector).forEach((value, k) => (mean[k]! += value / vectors.length))
  const means = new Float32Array(head.means.length + head.rank)
  means.set(head.means)
  means.set(mean, head.means.length)
  const { width, rank, directions, shift } = head
  return { width, rank, directions, shift, means }
}
