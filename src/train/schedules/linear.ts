// The learning rate falls linearly.

import { readOptions, type OptionValues } from '../../base/schema.ts'
import { scaleAboveMinimum, minimum } from './minimum.ts'
import type { Schedule } from './schedule.ts'

const options = { minimum }

export const linear: Schedule<OptionValues<typeof options>> = {
  name: 'linear',
  about: 'falls in a straight line',
  options,
  complete: (given) => readOptions('Schedule linear', given, options),
  factor: ({ progress }, settings) => scaleAboveMinimum(Math.max(0, 1 - progress), settings),
}
