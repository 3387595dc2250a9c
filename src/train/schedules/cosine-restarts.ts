// The learning rate follows half a cosine several times, each time from the highest rate (warm
// restarts). Loshchilov and Hutter 2017, arXiv:1608.03983.

import { integer, readOptions, type OptionValues } from '../../base/schema.ts'
import { scaleAboveMinimum, minimum } from './minimum.ts'
import type { Schedule } from './schedule.ts'

const options = {
  cycles: integer({ default: 3, from: 1, about: 'how many times it falls' }),
  minimum,
}

/**
 * As transformers' get_cosine_with_hard_restarts_schedule_with_warmup: (1 + cos(π·(cycles·progress
 * mod 1)))/2.
 */
export const cosineRestarts: Schedule<OptionValues<typeof options>> = {
  name: 'cosine-restarts',
  about: 'half a cosine several times, each from the highest rate (warm restarts)',
  options,
  complete: (given) => readOptions('Schedule cosine-restarts', given, options),
  factor({ progress }, settings) {
    const inCycle = (settings.cycles * progress) % 1
    return scaleAboveMinimum(
      progress >= 1 ? 0 : Math.max(0, (1 + Math.cos(Math.PI * inCycle)) / 2),
      settings,
    )
  },
}
