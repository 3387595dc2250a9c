// The element types a tensor may have, and how many bytes they take. Independent of: files, graphs.

export type FloatType = 'f32' | 'f64'
export type PlainType =
  | FloatType
  | 'f16'
  | 'bf16'
  | 'f8_e4m3'
  | 'f8_e5m2'
  | 'i8'
  | 'u8'
  | 'i16'
  | 'u16'
  | 'i32'
  | 'u32'
  | 'i64'
  | 'u64'
  | 'bool'
/** ggml block formats: `data` has the blocks' bytes exactly as in the file. */
export type BlockType =
  | ('q4_0' | 'q4_1' | 'q5_0' | 'q5_1' | 'q8_0')
  | ('q2_k' | 'q3_k' | 'q4_k' | 'q5_k' | 'q6_k')
  | ('iq4_nl' | 'iq4_xs' | 'iq2_xxs' | 'iq2_xs' | 'iq2_s' | 'iq3_xxs' | 'iq3_s' | 'iq1_s' | 'iq1_m')
  | 'mxfp4'
export type DType = PlainType | BlockType

/** Bytes of one element. */
export const elementBytes: Record<PlainType, number> = {
  f64: 8,
  f32: 4,
  f16: 2,
  bf16: 2,
  f8_e4m3: 1,
  f8_e5m2: 1,
  i8: 1,
  u8: 1,
  i16: 2,
  u16: 2,
  i32: 4,
  u32: 4,
  i64: 8,
  u64: 8,
  bool: 1,
}

/** Elements and bytes of one block, as ggml lays it out (ggml-common.h). */
export const blockLayout: Record<BlockType, { elements: number; bytes: number }> = {
  q4_0: { elements: 32, bytes: 18 },
  q4_1: { elements: 32, bytes: 20 },
  q5_0: { elements: 32, bytes: 22 },
  q5_1: { elements: 32, bytes: 24 },
  q8_0: { elements: 32, bytes: 34 },
  q2_k: { elements: 256, bytes: 84 },
  q3_k: { elements: 256, bytes: 110 },
  q4_k: { elements: 256, bytes: 144 },
  q5_k: { elements: 256, bytes: 176 },
  q6_k: { elements: 256, bytes: 210 },
  iq4_nl: { elements: 32, bytes: 18 },
  iq4_xs: { elements: 256, bytes: 136 },
  iq2_xxs: { elements: 256, bytes: 66 },
  iq2_xs: { elements: 256, bytes: 74 },
  iq2_s: { elements: 256, bytes: 82 },
  iq3_xxs: { elements: 256, bytes: 98 },
  iq3_s: { elements: 256, bytes: 110 },
  iq1_s: { elements: 256, bytes: 50 },
  iq1_m: { elements: 256, bytes: 56 },
  mxfp4: { elements: 32, bytes: 17 },
}

export const isBlockType = (dtype: DType): dtype is BlockType => dtype in blockLayout

/** Bytes that `elements` values of a type take. */
export function countBytes(dtype: DType, elements: number): number {
  if (!isBlockType(dtype)) return elements * elementBytes[dtype]
  const { elements: perBlock, bytes } = blockLayout[dtype]
  return (elements / perBlock) * bytes
}
