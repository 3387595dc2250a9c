// The contract of repacking: how one block of a file format reads as codes with a scale (and an
// offset) for every 16 or 32 values. Independent of where the codes go.

/**
 * The values of one block of a file: w = scale·(code − zero) + offset, with zero 8 for 4 bits and
 * 128 for 8.
 */
export interface UnpackedBlock {
  /** One code a byte, in the order of the values. */
  readonly codes: Uint8Array
  /** One for every `block` values. */
  readonly scales: Float64Array
  /** The same; left alone by formats without offsets. */
  readonly offsets: Float64Array
}

export interface Packer {
  readonly bits: 4 | 8
  /** Values that share a scale once packed. */
  readonly block: 16 | 32
  readonly withOffsets: boolean
  /** Where the file's block has its f16 numbers. */
  readonly scalesAt: readonly number[]
  /** Reads the file's block that starts at byte `at`. */
  unpack(bytes: Uint8Array, at: number, into: UnpackedBlock): void
  /**
   * Reads all blocks of a weight at once, for the formats in which large models are stored. Equals
   * repeated calls of `unpack`.
   */
  packAll?(words: Uint16Array, into: PackedArrays): void
}

/** A packed weight's arrays, four bytes of codes in each word. */
export interface PackedArrays {
  readonly codes: Uint32Array
  /** [out, in/block] */
  readonly scales: Float32Array
  /**
   * [in/block, out of all], for formats with offsets: this weight's rows begin at `firstRow` of all
   * that are packed as one.
   */
  readonly offsets: Float32Array | undefined
  readonly firstRow: number
  readonly allRows: number
  /** in/block */
  readonly perRow: number
}
