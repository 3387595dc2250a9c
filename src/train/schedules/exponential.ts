// The learning rate is multiplied by the same factor at every step.

import { number, readOptions, type OptionValues } from '../../base/schema.ts'
import type { Schedule } from './schedule.ts'

const options = {
  gamma: number({
    above: 0,
    to: 1,
    about: "factor of one step (default: the one that ends the run at 'minimum')",
  }),
  minimum: number({
    default: 0.01,
    above: 0,
    to: 1,
    about: 'share of the learning rate at the end, where gamma is not given',
  }),
}

/** As torch's ExponentialLR, stepped once a step: gammaᵗ. */
export const exponential: Schedule<OptionValues<typeof options>> = {
  name: 'exponential',
  about: 'is multiplied by the same factor at every step',
  options,
  complete: (given) => readOptions('Schedule exponential', given, options),
  factor: ({ done, progress }, { gamma, minimum }) =>
    gamma === undefined ? minimum ** progress : gamma ** done,
}
