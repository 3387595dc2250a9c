// The election of TIES on four entries at a time, in single precision: ten times the speed of the
// plain loops in elect.ts, which stand in where the platform has no vectors.

import { advance, and, compileLoop, pushConstant, get, load, pushPattern, repeat, reserve, set, single, store, xor, zero, type LoopExports } from '../base/linalg/wasm.ts' // prettier-ignore

// Parameters: addresses of the first row, of the result and of (weight, threshold) pairs; how many
// adapters, how many vectors, bytes of a row.
// prettier-ignore
const rows = 0, out = 1, pairs = 2, adapters = 3, vectors = 4, rowBytes = 5, parameters = 6
const at = 6, pair = 7, left = 8, integers = 3 // prettier-ignore
const total = 9, sign = 10, value = 11, weight = 12, sum = 13, share = 14 // prettier-ignore

const { add, multiply, divide, absolute, less, greater, notLess, loadSplat } = single
const signBit = pushPattern([0, 0, 0, 0x80])
/** The smallest normal number: added to a sum of weights it is lost, and 0 divided by it is 0. */
const tiny = pushPattern([0, 0, 0x80, 0])

/** For each adapter: `value` becomes its entries, those below its threshold zero; then `body`. */
const buildAdapterLoop = (body: number[]): number[] => [
  ...get(rows), ...set(at), ...get(pairs), ...set(pair), ...get(adapters), ...set(left),
  ...repeat(left, [
    ...load(get(at)), ...set(value),
    ...and(get(value), notLess(absolute(get(value)), loadSplat(get(pair), 4))), ...set(value),
    ...loadSplat(get(pair), 0), ...set(weight),
    ...body,
    ...advance(at, get(rowBytes)), ...advance(pair, pushConstant(8)),
  ]),
] // prettier-ignore

const loop = repeat(vectors, [
  ...zero, ...set(total),
  ...buildAdapterLoop([...add(get(total), multiply(get(weight), get(value))), ...set(total)]),
  ...and(less(get(total), zero), signBit), ...set(sign),
  ...zero, ...set(sum), ...tiny, ...set(share),
  // With the sign turned, entries that agree are those above 0; the mask of the comparison picks
  // them.
  ...buildAdapterLoop([
    ...xor(get(value), get(sign)), ...set(value),
    ...add(get(sum), and(multiply(get(weight), get(value)), greater(get(value), zero))), ...set(sum),
    ...add(get(share), and(get(weight), greater(get(value), zero))), ...set(share),
  ]),
  ...store(get(out), xor(divide(get(sum), get(share)), get(sign))),
  ...advance(rows, pushConstant(16)), ...advance(out, pushConstant(16)),
]) // prettier-ignore

/** Entries that are copied in and out at a time. */
const chunk = 4096
const chunkBytes = 4 * chunk

let compiled: { readonly loop: LoopExports | undefined } | undefined

/**
 * `computeElectedMean` of rows whose entries below `thresholds` count as zero; false where the platform
 * has no vectors.
 */
export function computeElectedMeanSimd(
  allRows: readonly Float32Array[],
  weights: readonly number[],
  thresholds: readonly number[],
  result: Float32Array,
): boolean {
  compiled ??= { loop: compileLoop(parameters, integers, 6, loop) }
  const exports = compiled.loop
  if (!exports) return false
  const count = allRows.length
  reserve(exports, (count + 1) * chunkBytes + 8 * count)
  const memory = new Float32Array(exports.memory.buffer)
  weights.forEach((own, k) => memory.set([own, thresholds[k] ?? 0], (count + 1) * chunk + 2 * k))
  for (let start = 0; start < result.length; start += chunk) {
    const size = Math.min(chunk, result.length - start)
    allRows.forEach((row, k) => memory.set(row.subarray(start, start + size), k * chunk))
    exports.run(
      0,
      count * chunkBytes,
      (count + 1) * chunkBytes,
      count,
      Math.ceil(size / 4),
      chunkBytes,
    )
    result.set(memory.subarray(count * chunk, count * chunk + size), start)
  }
  return true
}
