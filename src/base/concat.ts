// Parts one after the other, as one array.

function joinArrays<Values extends Uint8Array | Float32Array>(
  parts: Iterable<Values>,
  make: (length: number) => Values,
): Values {
  const all = [...parts]
  const whole = make(all.reduce((sum, { length }) => sum + length, 0))
  let at = 0
  for (const part of all) {
    whole.set(part, at)
    at += part.length
  }
  return whole
}

export const joinBytes = (parts: Iterable<Uint8Array>): Uint8Array<ArrayBuffer> =>
  joinArrays(parts, (length) => new Uint8Array(length)) as Uint8Array<ArrayBuffer>
export const joinFloats = (parts: Iterable<Float32Array>): Float32Array =>
  joinArrays(parts, (length) => new Float32Array(length))
