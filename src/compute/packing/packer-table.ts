// The table of packers, one for every block format whose values are evenly spaced within a block.
// The values of other formats cannot be written as codes with one scale.

import type { BlockType, DType } from '../../base/dtype.ts'
import type { Packer } from './packer.ts'
import { q2_k, q3_k } from './q2-k.ts'
import { q4_k, q5_k } from './q4-k.ts'
import { q4_0, q4_1 } from './q4.ts'
import { q5_0, q5_1 } from './q5.ts'
import { q6_k } from './q6-k.ts'
import { q8_0 } from './q8.ts'

export const packers = {
  q4_0,
  q4_1,
  q5_0,
  q5_1,
  q8_0,
  q2_k,
  q3_k,
  q4_k,
  q5_k,
  q6_k,
} satisfies Partial<Record<BlockType, Packer>>

export type PackedBlockType = keyof typeof packers

export const hasPacker = (dtype: DType): dtype is PackedBlockType => Object.hasOwn(packers, dtype)
