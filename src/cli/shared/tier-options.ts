// Options of a user's tiers, for commands that learn.

import { flag, integer, number } from '../../base/schema.ts'
import type { Options } from '../command.ts'

export const tierOptions = {
  'fast-rank': integer({
    from: 1,
    about: "rank of the fast tier, 1 to 16; the stored user's, or 4, on layers 2, unless given",
  }),
  'fast-layers': integer({
    from: 1,
    about: 'the fast tier in all linears of the last n layers; at the head unless given',
  }),
  'head-rank': integer({
    from: 1,
    about: 'also a fast tier of this rank at the head, beside the one of --fast-layers',
  }),
  'learning-rate': number({
    from: 0,
    about: 'of the fast tiers; 2e-3 unless given, on layers 5e-3',
  }),
  'no-memory': flag({ about: 'without the memory tier' }),
} as const satisfies Options
