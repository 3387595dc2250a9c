// The options of graft quickstart, apart from its work, whose modules are loaded when it runs.

import { join } from 'node:path'
import { flag, integer, string } from '../../base/schema.ts'
import { type Context, toOption } from '../command.ts'
import { modelOptions } from '../shared/open-model.ts'

/** The embedded model, which needs no download. */
export const smallModel = 'stories260k'

export const quickRows = { train: 160, test: 20 } // enough to see it work, not enough to be good

export const quickstartOptions = {
  ...modelOptions,
  out: toOption(
    string({
      default: join('.graft', 'quickstart'),
      about: 'where the expert goes; what lies there is replaced',
    }),
    { valueName: 'folder', short: 'o' },
  ),
  rows: integer({ from: 8, about: 'rows to train on, 500 unless given; 1,500 are there' }),
  'test-rows': integer({ from: 1, about: 'rows to judge on, 50 unless given; 100 are there' }),
  quick: flag({
    about: `only ${quickRows.train} rows to train on and ${quickRows.test} to judge on: a look, not a result`,
  }),
  seed: integer({ default: 0, about: 'same seed, same expert' }),
} as const

export type QuickstartContext = Context<typeof quickstartOptions>
