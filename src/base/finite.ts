// Checks that numbers are finite, fast enough for whole models. Independent of: tensors.

/**
 * False if a value is NaN or infinite. x − x is 0 for a finite x and NaN for any other, so one sum
 * finds it without a function call for each value.
 */
export function isAllFinite(values: Float32Array): boolean {
  let a = 0
  let b = 0
  let c = 0
  let d = 0 // four sums, because each addition waits for the one before it
  const whole = values.length - (values.length % 4)
  for (let i = 0; i < whole; i += 4) {
    a += values[i]! - values[i]!
    b += values[i + 1]! - values[i + 1]!
    c += values[i + 2]! - values[i + 2]!
    d += values[i + 3]! - values[i + 3]!
  }
  for (let i = whole; i < values.length; i++) a += values[i]! - values[i]!
  return a + b + c + d === 0
}
