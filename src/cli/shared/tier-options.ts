// Options of a user's tiers, for commands that learn.

import { flag, integer, number } from '../../base/schema.ts'
import type { Options } from '../command.ts'

export const tierOptions = {
  'fast-rank': integer({
    from: 1,
    about: "rank of the fast tier, 1 to 16 (default: the stored user's; else 4, on layers 2)",
  }),
  'fast-layers': integer({
    from: 1,
    about: 'the fast tier in all linear layers of the last n layers (default: at the head)',
  }),
  'head-rank': integer({
    from: 1,
    about: 'also a fast tier of this rank at the head, besides --fast-layers',
  }),
  'learning-rate': number({
    from: 0,
    about: 'of the fast tiers (default: 2e-3; on layers 5e-3)',
  }),
  'no-memory': flag({ about: 'without the memory tier' }),
} as const satisfies Options
