// The share of the learning rate that schedules may end at instead of zero.

export const minimum = {
  type: 'number',
  default: 0,
  least: 0,
  most: 1,
  about: 'share of the learning rate at the end',
} as const

/** A factor that falls from 1 to 0, squeezed so that it ends at the minimum. */
export const aboveMinimum = (
  factor: number,
  { minimum: least }: { readonly minimum: number },
): number => least + (1 - least) * factor
