// The learning rate falls as a power of what is left of the run.

import { number, readOptions, type OptionValues } from '../../base/schema.ts'
import { scaleAboveMinimum, minimum } from './minimum.ts'
import type { Schedule } from './schedule.ts'

const options = {
  power: number({
    default: 2,
    above: 0,
    about: 'above 1 falls fast at first, 1 is a straight line, below 1 falls fast at last',
  }),
  minimum,
}

/**
 * As transformers' get_polynomial_decay_schedule_with_warmup, its lr_end as a share: (1 −
 * progress)^power.
 */
export const polynomial: Schedule<OptionValues<typeof options>> = {
  name: 'polynomial',
  about: 'falls as a power of what is left of the run',
  options,
  complete: (given) => readOptions('Schedule polynomial', given, options),
  factor: ({ progress }, settings) =>
    scaleAboveMinimum(Math.max(0, 1 - progress) ** settings.power, settings),
}
