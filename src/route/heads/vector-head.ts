// The contract of heads: from a prompt's vector to a score of each expert. One file per head, one
// table. A head is made from examples or from its saved state; further experts can be added.

export interface VectorHead {
  /** Scores of the experts, [C]; higher is better. */
  logits(vector: Float32Array): Float64Array
  /** A point in which near means alike, for finding examples; any width. */
  place(vector: Float32Array): Float32Array
  /** The same head with one class more, known by vectors of its examples. */
  withClass(vectors: readonly Float32Array[]): VectorHead
  /** What `read` makes the head of. */
  write(): Readonly<Record<string, unknown>>
}

export interface HeadTraining {
  readonly vectors: readonly Float32Array[]
  /** 0…count − 1 of each vector. */
  readonly classes: readonly number[]
  readonly count: number
  readonly shrinkage: number
  /** Widths of the vectors' parts, from the embedder. Default: one part. */
  readonly parts?: readonly number[] | undefined
}

export interface HeadKind {
  readonly kind: string
  readonly about: string
  fit(training: HeadTraining): VectorHead
  /** Throws FormatError for what is no such head for so many classes and so wide vectors. */
  read(state: Readonly<Record<string, unknown>>, count: number, width: number): VectorHead
}

/** a·b of vectors of one length. */
export function computeDot(a: Float32Array, b: Float32Array, start = 0): number {
  let sum = 0
  for (let i = 0; i < a.length; i++) sum += a[i]! * b[start + i]!
  return sum
}

/** The vector scaled to length 1; zeros stay. */
export function toUnitVector(vector: Float32Array): Float32Array {
  const length = Math.sqrt(computeDot(vector, vector))
  return length > 0 ? vector.map((value) => value / length) : vector.slice()
}
