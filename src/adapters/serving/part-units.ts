// Divides the outputs of layers that share one product into units of equal width, because products
// of equal width can be batched into one call.

export interface PartUnits {
  /** Outputs of a unit: the largest width of which every part is a multiple. */
  readonly width: number
  /** The part that each unit belongs to, in the order of the outputs. */
  readonly owners: readonly number[]
}

const computeDivisor = (a: number, b: number): number => (b === 0 ? a : computeDivisor(b, a % b))

/** [576, 192, 192] → width 192, owners [0, 0, 0, 1, 2]. */
export function cutIntoUnits(outFeatures: readonly number[]): PartUnits {
  const width = outFeatures.reduce(computeDivisor)
  const owners = outFeatures.flatMap((length, part) => new Array<number>(length / width).fill(part))
  return { width, owners }
}
