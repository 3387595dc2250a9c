// The scale of a block of 32 values, computed in f32 steps exactly as gguf-py does.

/** d = (the value of largest magnitude) / divisor, and 1/d (0 where d is 0). */
export function computeExtremeScale(
  values: Float32Array,
  start: number,
  divisor: number,
): { d: number; inverse: number } {
  let most = 0
  for (let j = 0; j < 32; j++) {
    const value = values[start + j]!
    if (Math.abs(value) > Math.abs(most)) most = value
  }
  return withInverse(Math.fround(most / divisor))
}

/** d = (largest − least) / steps, 1/d (0 where d is 0), and the least value. */
export function computeRangeScale(
  values: Float32Array,
  start: number,
  steps: number,
): { d: number; inverse: number; least: number } {
  let least = values[start]!
  let most = least
  for (let j = 1; j < 32; j++) {
    const value = values[start + j]!
    if (value < least) least = value
    if (value > most) most = value
  }
  return { ...withInverse(Math.fround(Math.fround(most - least) / steps)), least }
}

const withInverse = (d: number): { d: number; inverse: number } => ({
  d,
  inverse: d === 0 ? 0 : Math.fround(1 / d),
})
