// NF4 with double quantisation, as QLoRA keeps a frozen base (Dettmers et al. 2023,
// arXiv:2305.14314; layout of bitsandbytes). Blocks of 64 over the row-major values, each with its
// largest magnitude; those magnitudes in 8 bits. Independent of tensors and graphs.

/** The 16 levels: quantiles of a normal distribution, scaled to [−1, 1], with an exact zero. */
export const nf4Levels = Float32Array.of(
  ...[
    -1, -0.6961928009986877, -0.5250730514526367, -0.39491748809814453, -0.28444138169288635,
    -0.18477343022823334,
  ],
  ...[
    -0.09105003625154495, 0, 0.07958029955625534, 0.16093020141124725, 0.24611230194568634,
    0.33791524171829224,
  ],
  ...[0.44070982933044434, 0.5626170039176941, 0.7229568362236023, 1],
)

/** Values that share a magnitude. */
export const NF4_BLOCK = 64
/** Magnitudes that share a scale. */
export const NF4_ABSMAX_BLOCK = 256

export interface Nf4 {
  /** Two levels a byte, the first in the high nibble. */
  readonly codes: Uint8Array
  /** One for each block: its place in the dynamic map. Filled up to whole blocks of 256. */
  readonly absmaxCodes: Uint8Array
  /** One for every 256 magnitudes. */
  readonly absmaxScales: Float32Array
  /** The mean magnitude: absmax = map[code]·scale + offset. */
  readonly absmaxOffset: number
}

/**
 * The 8-bit dynamic map (Dettmers 2015, arXiv:1511.04561): 0, 1, and for each of seven decades 10⁻⁶
 * … 10⁰ the middles of 1, 2, 4, … 64 equal parts of [0.1, 1] with both signs; rising. Computed in
 * f32 as torch.linspace does: from the nearer end.
 */
export function computeDynamicMap(): Float32Array {
  const values = [0, 1]
  for (let decade = 0; decade < 7; decade++) {
    const parts = 2 ** decade
    const step = Math.fround(Math.fround(1 - Math.fround(0.1)) / parts)
    const boundary = (i: number): number =>
      // one rounding
      Math.fround(i <= parts / 2 ? Math.fround(0.1) + step * i : 1 - step * (parts - i))
    for (let i = 0; i < parts; i++) {
      const middle = Math.fround(Math.fround(boundary(i) + boundary(i + 1)) / 2)
      const value = Math.fround(10 ** (decade - 6)) * middle
      values.push(value, -value)
    }
  }
  return Float32Array.from(values).sort()
}

/**
 * Places of the borders between neighbouring levels; a value on a border belongs to the lower
 * one.
 */
const computeBorders = (levels: Float32Array): Float64Array =>
  Float64Array.from({ length: levels.length - 1 }, (_, i) => (levels[i]! + levels[i + 1]!) / 2)

/** The number of borders below a value: the nearest level's place. `borders` has 2ⁿ − 1 entries. */
function findNearestLevel(borders: Float64Array, value: number): number {
  let place = 0
  for (let step = (borders.length + 1) >> 1; step > 0; step >>= 1)
    if (value > borders[place + step - 1]!) place += step
  return place
}

/** Buckets of the interval [−1, 1]: so many that no two borders are in one. */
const BUCKETS = 512

/** By bucket, how many borders are in those before it. */
function countBordersBefore(borders: Float64Array): Uint8Array {
  const counts = new Uint8Array(BUCKETS + 1)
  for (const border of borders) counts.fill(counts[findBucket(border)]! + 1, findBucket(border) + 1)
  return counts
}

/** Rises with the value, so a border is in the bucket of each value that it could be taken for. */
const findBucket = (value: number): number => ((value + 1) * (BUCKETS / 2)) | 0

function computeAbsmax(values: Float32Array, from: number, to: number): number {
  let largest = 0
  for (let i = from; i < to; i++) {
    const size = Math.abs(values[i]!)
    if (size > largest) largest = size
  }
  return largest
}

/** Whole blocks of 256 that hold so many magnitudes. */
export const countAbsmaxBlocks = (magnitudes: number): number =>
  Math.ceil(magnitudes / NF4_ABSMAX_BLOCK)

type Absmax = Pick<Nf4, 'absmaxCodes' | 'absmaxScales' | 'absmaxOffset'>

/**
 * Magnitudes in 8 bits: offset = their mean, then (absmax − offset) in blocks of 256 by the nearest
 * place of the dynamic map.
 */
function quantizeAbsmax(absmax: Float32Array): Absmax {
  const borders = computeBorders(computeDynamicMap())
  const absmaxOffset = Math.fround(absmax.reduce((sum, value) => sum + value, 0) / absmax.length)
  const centred = absmax.map((value) => value - absmaxOffset)
  const absmaxScales = new Float32Array(countAbsmaxBlocks(absmax.length))
  const absmaxCodes = new Uint8Array(absmaxScales.length * NF4_ABSMAX_BLOCK)
  for (let block = 0; block < absmaxScales.length; block++) {
    const from = block * NF4_ABSMAX_BLOCK
    const to = Math.min(absmax.length, (block + 1) * NF4_ABSMAX_BLOCK)
    const scale = computeAbsmax(centred, from, to)
    absmaxScales[block] = scale
    for (let i = from; i < to; i++)
      absmaxCodes[i] = findNearestLevel(borders, scale === 0 ? 0 : centred[i]! / scale)
  }
  return { absmaxCodes, absmaxScales, absmaxOffset }
}

/**
 * Quantises values, whose number must be a multiple of 64: the level nearest to x / absmax of the
 * block.
 */
export function quantizeNf4(values: Float32Array): Nf4 {
  const borders = computeBorders(nf4Levels)
  const before = countBordersBefore(borders)
  // findNearestLevel takes three times as long: no processor foresees its branches.
  const findLevel = (value: number): number => {
    const place = before[findBucket(value)]!
    return value > borders[place]! ? place + 1 : place
  }
  const codes = new Uint8Array(values.length / 2)
  const absmax = new Float32Array(values.length / NF4_BLOCK)
  for (let block = 0; block < absmax.length; block++) {
    const from = block * NF4_BLOCK
    const to = (block + 1) * NF4_BLOCK
    const largest = computeAbsmax(values, from, to)
    absmax[block] = largest
    const divisor = largest === 0 ? 1 : largest
    for (let i = from; i < to; i += 2) {
      codes[i >> 1] = (findLevel(values[i]! / divisor) << 4) | findLevel(values[i + 1]! / divisor)
    }
  }
  return { codes, ...quantizeAbsmax(absmax) }
}

/**
 * Magnitudes of the first `count` blocks: map[code]·scale + offset, each operation rounded to f32.
 */
export function dequantizeAbsmax(
  { absmaxCodes, absmaxScales, absmaxOffset }: Absmax,
  count: number,
): Float32Array {
  const map = computeDynamicMap()
  return Float32Array.from({ length: count }, (_, i) =>
    Math.fround(
      Math.fround(map[absmaxCodes[i]!]! * absmaxScales[Math.floor(i / NF4_ABSMAX_BLOCK)]!) +
        absmaxOffset,
    ),
  )
}

/** The values: level·absmax, in f32. */
export function dequantizeNf4(nf4: Nf4): Float32Array {
  const { codes } = nf4
  const values = new Float32Array(codes.length * 2)
  const absmax = dequantizeAbsmax(nf4, values.length / NF4_BLOCK)
  for (let i = 0; i < codes.length; i++) {
    const scale = absmax[((2 * i) / NF4_BLOCK) | 0]!
    values[2 * i] = nf4Levels[codes[i]! >> 4]! * scale
    values[2 * i + 1] = nf4Levels[codes[i]! & 15]! * scale
  }
  return values
}
