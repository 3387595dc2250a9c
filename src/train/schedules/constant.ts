// The learning rate stays.

import { type OptionTable, type OptionValues, readOptions } from '../option-table.ts'
import type { Schedule } from './schedule.ts'

const options = {} as const satisfies OptionTable

export const constant: Schedule<OptionValues<typeof options>> = {
  name: 'constant',
  about: 'stays',
  options,
  complete: (given) => readOptions('Schedule constant', given, options),
  factor: () => 1,
}
