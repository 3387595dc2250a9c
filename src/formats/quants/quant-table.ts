// The table of block formats.

import type { BlockType } from '../../base/dtype.ts'
import { iq1_m, iq1_s } from './iq1.ts'
import { iq2_s, iq2_xs, iq2_xxs } from './iq2.ts'
import { iq3_s, iq3_xxs } from './iq3.ts'
import { iq4_nl, iq4_xs } from './iq4.ts'
import { mxfp4 } from './mxfp4.ts'
import { q2_k } from './q2-k.ts'
import { q3_k } from './q3-k.ts'
import { q4_k, q5_k } from './q4-k.ts'
import { q4_0, q4_1 } from './q4.ts'
import { q5_0, q5_1 } from './q5.ts'
import { q6_k } from './q6-k.ts'
import { q8_0 } from './q8.ts'
import type { Quant } from './quant.ts'

export type { Quant } from './quant.ts'

export const quants = {
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
  iq4_nl,
  iq4_xs,
  iq2_xxs,
  iq2_xs,
  iq2_s,
  iq3_xxs,
  iq3_s,
  iq1_s,
  iq1_m,
  mxfp4,
} satisfies Record<BlockType, Quant> as Readonly<Record<BlockType, Quant>>
