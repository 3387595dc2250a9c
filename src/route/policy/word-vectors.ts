// Vectors of words: the sum of their buckets' rows of the table over the root of their number, and
// the backward pass to the gradients of the rows.

/** Writes a word's vector [D] to `out`. A word without buckets is zero. */
export function writeWordVector(
  table: Float32Array,
  buckets: Int32Array,
  out: Float32Array | Float64Array,
): void {
  out.fill(0)
  const width = out.length
  for (const bucket of buckets) {
    const start = bucket * width
    for (let i = 0; i < width; i++) out[i]! += table[start + i]!
  }
  const scale = 1 / Math.sqrt(buckets.length || 1)
  for (let i = 0; i < width; i++) out[i]! *= scale
}

/** Gradients of the rows that a batch touched; `rows` gives them in the order they were met. */
export class RowGradients {
  readonly #places: Int32Array // bucket → place + 1
  #values = new Float32Array(0)
  readonly rows: number[] = []
  readonly width: number

  constructor(buckets: number, width: number) {
    this.#places = new Int32Array(buckets)
    this.width = width
  }

  clear(): void {
    for (const row of this.rows) this.#places[row] = 0
    this.rows.length = 0
  }

  /** Adds a word's gradient to its rows. */
  add(buckets: Int32Array, gradient: Float32Array): void {
    const scale = 1 / Math.sqrt(buckets.length || 1)
    for (const bucket of buckets) {
      const at = this.#reach(bucket)
      for (let i = 0; i < gradient.length; i++) this.#values[at + i]! += scale * gradient[i]!
    }
  }

  /** The gradient of the row that was met as number `place`. */
  at(place: number): Float32Array {
    return this.#values.subarray(place * this.width, (place + 1) * this.width)
  }

  #reach(bucket: number): number {
    const known = this.#places[bucket]!
    if (known > 0) return (known - 1) * this.width
    const start = this.rows.length * this.width
    this.rows.push(bucket)
    this.#places[bucket] = this.rows.length
    if (start + this.width > this.#values.length) {
      const wider = new Float32Array(Math.max(64 * this.width, 2 * this.#values.length))
      wider.set(this.#values)
      this.#values = wider
    }
    this.#values.fill(0, start, start + this.width)
    return start
  }
}
