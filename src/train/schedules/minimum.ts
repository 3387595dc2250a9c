// The share of the learning rate that schedules may end at instead of zero.

import { number } from '../../base/schema.ts'

export const minimum = number({
  default: 0,
  from: 0,
  to: 1,
  about: 'share of the learning rate at the end',
})

/** Scales a factor that falls from 1 to 0 so that it ends at the minimum. */
export const scaleAboveMinimum = (
  factor: number,
  { minimum: least }: { readonly minimum: number },
): number => least + (1 - least) * factor
