// JSON values: reading without throwing, and equality.

/** The value of a JSON text; undefined if it is none. */
export function parseJson(text: string): { readonly value: unknown } | undefined {
  try {
    return { value: JSON.parse(text) }
  } catch {
    return undefined
  }
}

/** Equality of JSON values; the order of keys does not count, that of lists does. */
export const isEqualJson = (a: unknown, b: unknown): boolean => {
  if (typeof a !== 'object' || typeof b !== 'object' || a === null || b === null) return a === b
  if (Array.isArray(a) !== Array.isArray(b)) return false
  const left = Object.entries(a)
  const right = Object.entries(b)
  return (
    left.length === right.length &&
    left.every(
      ([key, value]) =>
        Object.hasOwn(b, key) && isEqualJson(value, (b as Record<string, unknown>)[key]),
    )
  )
}
