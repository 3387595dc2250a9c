// The product of a low-rank pair with vectors, directly from packed tensors: some rows are unpacked
// into the processor's cache, multiplied by all vectors, and overwritten by the next rows.
// Independent of adapters.

import { ShapeError } from '../../base/errors.ts'
import { checkOptions, number, unchecked } from '../../base/schema.ts'
import type { Tensor } from '../../base/tensor.ts'
import { blockValues } from '../../formats/block-code.ts'
import type { PackedTensor } from './packed-tensor.ts'
import {
  getTileHost,
  partValues,
  tileAt,
  type TileHost,
  type TileSource,
  toTileSource,
  unpackTile,
} from './tile.ts'

/** A low-rank change of one layer: scaling·B·A. Each tensor is packed or of any element type. */
export interface LowRankFactors {
  /** [R, in] */
  readonly A: Tensor | PackedTensor
  /** [out, R] */
  readonly B: Tensor | PackedTensor
  /** Default 1; alpha/R for LoRA. */
  readonly scaling?: number | undefined
}

const factorFields = {
  A: unchecked('a tensor [R, in]'),
  B: unchecked('a tensor [out, R]'),
  scaling: number(),
}

interface ProductSizes {
  readonly count: number
  readonly rank: number
  readonly inFeatures: number
  readonly outFeatures: number
}

/** Throws ShapeError for what does not fit. */
function resolveSizes(
  { length: ofY }: Float32Array,
  { length: ofX }: Float32Array,
  { A, B }: LowRankFactors,
): ProductSizes {
  const [rank = 0, inFeatures = 0] = A.shape
  const [outFeatures = 0, ownRank] = B.shape
  if (A.shape.length !== 2 || B.shape.length !== 2 || rank !== ownRank)
    throw new ShapeError(
      `addPackedProduct: got A [${A.shape.join(', ')}] and B [${B.shape.join(', ')}], expected A [R, in] and B [out, R].`,
    )
  const count = inFeatures === 0 ? 0 : ofX / inFeatures
  if (!Number.isInteger(count) || ofY !== count * outFeatures)
    throw new ShapeError(
      `addPackedProduct: got ${ofX} values in x and ${ofY} in y, expected n·${inFeatures} and n·${outFeatures}.`,
    )
  return { count, rank, inFeatures, outFeatures }
}

/**
 * y += scaling·B·(A·x) for one vector or several: x [n, in], y [n, out]. A sum of c products in f32
 * is off by at most c·6e-8 of the sum of their magnitudes. Throws ShapeError for sizes that do not
 * fit; then y is unchanged.
 */
export function addPackedProduct(
  y: Float32Array,
  x: Float32Array,
  factors: LowRankFactors,
  host: TileHost = getTileHost(),
): void {
  checkOptions('addPackedProduct', factors, factorFields)
  const { A, B, scaling = 1 } = factors
  const { count, rank, inFeatures, outFeatures } = resolveSizes(y, x, factors)
  if (count === 0 || rank === 0) return
  const tileValues = Math.max(partValues, inFeatures, rank) + 2 * blockValues
  const xAt = tileAt + 4 * tileValues
  const lowAt = xAt + 4 * x.length
  const yAt = lowAt + 4 * count * rank
  const { floats } = host.reserve(yAt + 4 * y.length)
  floats.set(x, xAt >> 2)
  floats.fill(0, lowAt >> 2, yAt >> 2)
  floats.set(y, yAt >> 2)
  multiplyTiles(host, toTileSource(A), { count, x: xAt, out: lowAt, outValues: rank, scale: 1 })
  const up = { count, x: lowAt, out: yAt, outValues: outFeatures, scale: scaling }
  multiplyTiles(host, toTileSource(B), up)
  y.set(floats.subarray(yAt >> 2, (yAt >> 2) + y.length))
}

interface Vectors {
  readonly count: number
  /** Place of x [count, columns]. */
  readonly x: number
  /** Place of out [count, outValues], to which is added. */
  readonly out: number
  readonly outValues: number
  readonly scale: number
}

/** out += scale·x·matrixᵀ, some rows of the matrix at a time. */
function multiplyTiles(host: TileHost, source: TileSource, vectors: Vectors): void {
  const { columns, values } = source
  const { count, x, out, outValues, scale } = vectors
  const most = Math.max(1, Math.floor(partValues / columns))
  const step = most < 4 ? most : most - (most % 4) // the kernels take four rows at a time
  for (let row = 0; row * columns < values; row += step) {
    const from = row * columns
    const to = Math.min(values, from + step * columns)
    const aligned = from - (from % blockValues)
    unpackTile(host, source, aligned, to, tileAt, 1)
    const matrix = tileAt + 4 * (from - aligned)
    const rows = (to - from) / columns
    host.kernels.multiply(matrix, rows, columns, x, count, out + 4 * row, 4 * outValues, scale)
  }
}
