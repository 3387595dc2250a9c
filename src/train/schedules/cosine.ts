// The learning rate falls along half a cosine. Loshchilov and Hutter 2017, arXiv:1608.03983.

import { readOptions, type OptionValues } from '../../base/schema.ts'
import { scaleAboveMinimum, minimum } from './minimum.ts'
import type { Schedule } from './schedule.ts'

const options = { minimum }

export const cosine: Schedule<OptionValues<typeof options>> = {
  name: 'cosine',
  about: 'half a cosine: falls slowly at both ends',
  options,
  complete: (given) => readOptions('Schedule cosine', given, options),
  factor: ({ progress }, settings) =>
    scaleAboveMinimum(Math.max(0, (1 + Math.cos(Math.PI * progress)) / 2), settings),
}
