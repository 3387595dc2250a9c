// The learning rate is multiplied by a factor after every fixed number of steps.

import { integer, number, readOptions, type OptionValues } from '../../base/schema.ts'
import type { Schedule } from './schedule.ts'

const options = {
  everySteps: integer({
    from: 1,
    about: 'steps between two falls (default: a third of the run)',
  }),
  gamma: number({ default: 0.1, above: 0, to: 1, about: 'factor of one fall' }),
}

/** As torch's StepLR, stepped once a step: gamma^⌊t/everySteps⌋. */
export const stepDecay: Schedule<OptionValues<typeof options>> = {
  name: 'step',
  about: 'constant for some steps, then multiplied by a factor, repeatedly',
  options,
  complete: (given) => readOptions('Schedule step', given, options),
  factor: ({ done, steps }, { everySteps, gamma }) =>
    gamma ** Math.floor(done / (everySteps ?? Math.max(1, Math.ceil(steps / 3)))),
}
