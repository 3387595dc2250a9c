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
      about: 'folder of the expert; its content is replaced',
    }),
    { valueName: 'folder', short: 'o' },
  ),
  rows: integer({ from: 8, about: 'rows to train on, of 1,500 (default: 500)' }),
  'test-rows': integer({ from: 1, about: 'rows to measure on, of 100 (default: 50)' }),
  quick: flag({
    about: `only ${quickRows.train} rows to train on and ${quickRows.test} to judge on: a look, not a result`,
  }),
  seed: integer({ default: 0, about: 'same seed, same expert' }),
} as const

export type QuickstartContext = Context<typeof quickstartOptions>
