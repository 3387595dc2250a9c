// The learning rate is constant.

import { readOptions, type OptionValues } from '../../base/schema.ts'
import type { Schedule } from './schedule.ts'

const options = {}

export const constant: Schedule<OptionValues<typeof options>> = {
  name: 'constant',
  about: 'stays',
  options,
  complete: (given) => readOptions('Schedule constant', given, options),
  factor: () => 1,
}
