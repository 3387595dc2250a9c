import { describe, expect, it } from 'vitest'
import { NumericError, OptionError, ShapeError } from '../base/errors.ts'
import { type HeadPrediction, HeadRows } from './head.ts'
import { getKernelContext, kernelNames } from './kernels/context.ts'
import { MicroLora } from './micro-lora.ts'
import { differences, randomVector, measureRelativeError } from './testing.ts'

const width = 37
const vocabulary = 50 // no multiple of what the kernels step by
const head = randomVector(vocabulary * width, 1, 0.4)
const hidden = randomVector(width, 2)
const rowOf = (id: number): Float32Array => head.subarray(id * width, (id + 1) * width)
const averageRow = Float32Array.from({ length: width }, (_, i) => {
  let sum = 0
  for (let id = 0; id < vocabulary; id++) sum += rowOf(id)[i]! / vocabulary
  return sum
})
const everything = Array.from({ length: vocabulary }, (_, id) => id)

/** W·h, capped where a cap is given. */
function logitsAt(h: ArrayLike<number>, softcap = 0): number[] {
  return everything.map((id) => {
    const logit = rowOf(id).reduce((sum, value, i) => sum + value * h[i]!, 0)
    return softcap === 0 ? logit : softcap * Math.tanh(logit / softcap)
  })
}
const totalOf = (logits: readonly number[]): number =>
  Math.log(logits.reduce((sum, logit) => sum + Math.exp(logit), 0))

/** The `count` likeliest and the one that came. */
function predicted(h: ArrayLike<number>, came: number, count: number): HeadPrediction {
  const logits = logitsAt(h)
  const likeliest = everything.toSorted((a, b) => logits[b]! - logits[a]!).slice(0, count)
  const ids = likeliest.includes(came) ? likeliest : [...likeliest, came]
  return { ids, logits: Float32Array.from(ids, (id) => logits[id]!), total: totalOf(logits), came }
}

function rowsOf(ids: readonly number[]): Float32Array {
  const rows = new Float32Array(ids.length * width)
  for (const [i, id] of ids.entries()) rows.set(rowOf(id), i * width)
  return rows
}

function filled(
  options: Partial<ConstructorParameters<typeof HeadRows>[0]> = {},
  ids: readonly number[] = everything,
): HeadRows {
  const rows = new HeadRows({ width, capacity: 64, averageRow, ...options })
  rows.add(ids, rowsOf(ids))
  return rows
}

describe.each(kernelNames)('with %s kernels', (kernels) => {
  it('the gradient over the whole vocabulary is that of the true cross-entropy', () => {
    const came = 7
    const logits = logitsAt(hidden)
    const { loss, rest, gradient } = filled({ kernels }).gradient({ ids: everything, logits, came })
    const lossAt = (h: number[]): number => totalOf(logitsAt(h)) - logitsAt(h)[came]!
    expect(loss).toBeCloseTo(lossAt([...hidden]), 5)
    expect(rest).toBeLessThan(1e-6)
    expect(measureRelativeError(gradient, differences(hidden, lossAt))).toBeLessThan(1e-5)
  })
  it.each([1, 2, 3, 4, 5, 16])(
    'over the %i most likely it is the formula, the rest along the average row',
    (count) => {
      for (const came of [7, 31]) {
        const prediction = predicted(hidden, came, count)
        const { gradient, rest } = filled({ kernels }).gradient({ ...prediction, weight: -0.5 })
        const shares = Array.from(prediction.logits, (logit) => Math.exp(logit - prediction.total!))
        const left = 1 - shares.reduce((sum, share) => sum + share)
        const expected = Array.from({ length: width }, (_, i) => {
          const seen = shares.reduce(
            (sum, share, k) =>
              sum + (share - (prediction.ids[k] === came ? 1 : 0)) * rowOf(prediction.ids[k]!)[i]!,
            0,
          )
          return -0.5 * (seen + left * averageRow[i]!)
        })
        expect(rest).toBeCloseTo(left, 5)
        expect(measureRelativeError(gradient, expected)).toBeLessThan(1e-5)
      }
    },
  )
})

describe('the loss at a head', () => {
  it('with a cap on logits: the gradient is that of finite differences', () => {
    const softcap = 3
    const came = 7
    const { gradient } = filled({ softcap }).gradient({
      ids: everything,
      logits: logitsAt(hidden, softcap),
      came,
    })
    const lossAt = (h: number[]): number =>
      totalOf(logitsAt(h, softcap)) - logitsAt(h, softcap)[came]!
    expect(measureRelativeError(gradient, differences(hidden, lossAt))).toBeLessThan(1e-5)
  })
  it('falls, true and over the whole vocabulary, when an adapter learns from the most likely 8 alone', () => {
    const rows = filled()
    const lora = new MicroLora({
      rank: 4,
      alpha: 4,
      inFeatures: width,
      outFeatures: width,
      optimizer: 'adam',
    })
    const came = (n: number): number => (n * 11) % vocabulary
    const inputs = Array.from({ length: 6 }, (_, n) => randomVector(width, 20 + n))
    const moved = (input: Float32Array): Float32Array =>
      lora.forward(input).map((value, i) => value + input[i]!)
    const mean = (): number =>
      inputs.reduce(
        (sum, input, n) => sum + predictedLoss(moved(input), came(n)) / inputs.length,
        0,
      )
    const before = mean()
    for (let step = 0; step < 40; step++)
      for (const [n, input] of inputs.entries()) {
        const { gradient } = rows.gradient(predicted(moved(input), came(n), 8))
        lora.adapt(input, { gradient })
        lora.applyUpdates(0.01, { input, share: 0.1 })
      }
    expect(mean()).toBeLessThan(0.1 * before)
  })
  const predictedLoss = (h: ArrayLike<number>, came: number): number =>
    totalOf(logitsAt(h)) - logitsAt(h)[came]!
})

describe('rows', () => {
  it('that were not asked for the longest go, those just asked for stay', () => {
    const rows = filled({ capacity: 16 }, everything.slice(0, 16))
    expect(rows.missing([0, 1, 2, 20, 21, 20])).toEqual([20, 21])
    rows.add([20, 21], rowsOf([20, 21]))
    expect(rows.missing([0, 1, 2, 20, 21])).toEqual([])
    const prediction = predicted(hidden, 20, 0)
    expect(rows.gradient(prediction).gradient).toEqual(filled().gradient(prediction).gradient)
    expect(rows.missing(everything.slice(0, 16)).length).toBe(2)
    expect(() => rows.add(everything.slice(30), rowsOf(everything.slice(30)))).toThrow(
      'no room for 20 rows besides those just asked for: capacity 16',
    )
  })
  it('take memory from the heap and give it back', () => {
    const { heap } = getKernelContext()
    const before = heap.usedBytes
    const rows = filled()
    expect(heap.usedBytes - before).toBe(rows.sizeBytes)
    rows.dispose()
    rows.dispose()
    expect(heap.usedBytes).toBe(before)
    expect(() => rows.missing([1])).toThrow('disposed')
  })
  const good = predicted(hidden, 7, 8)
  it.each<[string, (rows: HeadRows) => unknown, new (...args: never[]) => Error, string]>([
    [
      'a token without its row',
      (rows) => rows.gradient({ ...good, ids: Array.from(good.ids).with(0, 99) }),
      OptionError,
      'the row of token 99 is missing',
    ],
    [
      'a token twice',
      (rows) => rows.gradient({ ...good, ids: Array.from(good.ids).with(0, good.ids[1]!) }),
      OptionError,
      'is there twice',
    ],
    [
      'a token that came from elsewhere',
      (rows) => rows.gradient({ ...good, came: 999 }),
      OptionError,
      'token 999 is not among ids',
    ],
    [
      'NaN among the logits',
      (rows) => rows.gradient({ ...good, logits: Array.from(good.logits).with(2, NaN) }),
      NumericError,
      'a logit is NaN',
    ],
    [
      'a total of other logits',
      (rows) => rows.gradient({ ...good, total: 0 }),
      NumericError,
      'the total is of other logits',
    ],
    [
      'an infinite total',
      (rows) => rows.gradient({ ...good, total: Infinity }),
      NumericError,
      'total is Infinity',
    ],
    [
      'too few logits',
      (rows) => rows.gradient({ ...good, logits: [1] }),
      ShapeError,
      'logits: got 1, expected one for each of',
    ],
    [
      'an output of another size',
      (rows) => rows.gradient(good, new Float32Array(3)),
      ShapeError,
      'output: got 3 values, expected 37',
    ],
    [
      'rows of another size',
      (rows) => rows.add([1], new Float32Array(3)),
      ShapeError,
      'rows: got 3 values, expected 1 × 37',
    ],
    [
      'NaN in a row',
      (rows) => rows.add([1], new Float32Array(width).fill(NaN)),
      NumericError,
      'rows: hold NaN',
    ],
  ])('%s is refused and changes nothing', (_, call, kind, message) => {
    const rows = filled()
    const before = rows.gradient(good)
    expect(() => call(rows)).toThrow(kind)
    expect(() => call(rows)).toThrow(message)
    expect(rows.gradient(good)).toEqual(before)
  })
  it('options that cannot work are named all at once', () => {
    expect(() => new HeadRows({ width: 0, capacity: -1, softcap: NaN })).toThrow(
      /width: got 0.*capacity: got -1.*softcap: got NaN/,
    )
    expect(() => new HeadRows({ width, softCap: 30 } as { width: number })).toThrow(
      'HeadRows options: there is no option "softCap". Did you mean "softcap"?',
    )
    expect(() => new HeadRows({} as { width: number })).toThrow('width: got undefined')
    expect(() => new HeadRows({ width, averageRow: new Float32Array(3) })).toThrow(
      'averageRow: got 3 values, expected 37',
    )
  })
})
