// The learning rate rises to its peak and falls far below its start, both along half a cosine.
// Smith and Topin 2018, arXiv:1708.07120.

import { number, readOptions, type OptionValues } from '../../base/schema.ts'
import type { Schedule } from './schedule.ts'

const options = {
  startDivisor: number({
    default: 25,
    from: 1,
    about: 'the first learning rate is the highest divided by this',
  }),
  endDivisor: number({
    default: 1e4,
    from: 1,
    about: 'the last learning rate is the first divided by this',
  }),
}

/** From one value to another along half a cosine. */
const interpolateCosine = (from: number, to: number, share: number): number =>
  to + ((from - to) * (1 + Math.cos(Math.PI * share))) / 2

const computeLastFactor = (settings: OptionValues<typeof options>): number =>
  1 / settings.startDivisor / settings.endDivisor

/**
 * As torch's OneCycleLR with cosine annealing and two phases; the warm-up is its first phase,
 * default 0.3 of the steps.
 */
export const oneCycle: Schedule<OptionValues<typeof options>> = {
  name: 'one-cycle',
  about: 'rises along half a cosine in the first part, then falls far below its start',
  options,
  complete: (given) => readOptions('Schedule one-cycle', given, options),
  riseShare: 0.3,
  factor({ done, steps, warmupSteps }, settings) {
    const peak = Math.max(0, warmupSteps - 1) // the step that has the whole learning rate
    if (done < peak) return interpolateCosine(1 / settings.startDivisor, 1, done / peak)
    return interpolateCosine(
      1,
      computeLastFactor(settings),
      (done - peak) / Math.max(1, steps - 1 - peak),
    )
  },
}
