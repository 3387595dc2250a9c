import fc from 'fast-check'
import { expect, it } from 'vitest'
import { toRegExp } from '../testing.ts'
import { matchNumberRange, type NumberBounds } from './number-range.ts'

const isInside = (value: number, { least, most, isAbove, isBelow }: NumberBounds): boolean =>
  (isAbove ? value > least : value >= least) && (isBelow ? value < most : value <= most)

const bound = fc.oneof(
  fc.integer({ min: -2000, max: 2000 }),
  fc.integer({ min: -2000, max: 2000 }).map((value) => value / 100),
  fc.constantFrom(0, -0, 1, -1, 10, 100, 0.5, -0.5, 1e-7, 1e20, -Infinity, Infinity),
)

const bounds = fc
  .record({ a: bound, b: bound, isAbove: fc.boolean(), isBelow: fc.boolean() })
  .map(({ a, b, isAbove, isBelow }): NumberBounds => {
    const [least, most] = [Math.min(a, b), Math.max(a, b)]
    return {
      least,
      most,
      isAbove: isAbove && least > -Infinity,
      isBelow: isBelow && most < Infinity,
    }
  })
  .filter(({ least, most }) => least < Infinity && most > -Infinity)

const near = (value: number): number[] =>
  Number.isFinite(value)
    ? [
        value,
        value + 1,
        value - 1,
        value + 0.01,
        value - 0.01,
        value * 10,
        value / 10,
        Math.trunc(value),
      ]
    : []

const toText = (value: number): string | undefined => {
  const text = String(value)
  const digits = text.replace(/\D/g, '').replace(/^0+/, '')
  return /e/.test(text) || text === '-0' || digits.length > 12 ? undefined : text
}

it('fits integers between its bounds and no others', () => {
  fc.assert(
    fc.property(bounds, fc.array(fc.integer({ min: -3000, max: 3000 })), (given, values) => {
      const own = toRegExp(matchNumberRange(given, true))
      const all = [...values, ...near(given.least), ...near(given.most), 0].map(Math.trunc)
      const texts = all.flatMap((value) => toText(value) ?? [])
      expect(texts.filter((text) => own.test(text))).toEqual(
        texts.filter((text) => isInside(Number(text), given)),
      )
      expect(own.test('007')).toBe(false)
      expect(own.test('1.5')).toBe(false)
    }),
    { numRuns: 500 },
  )
})

const lengthen = (text: string): string => (text.includes('.') ? `${text}0` : `${text}.0`)

it('fits numbers between its bounds and no others', () => {
  fc.assert(
    fc.property(bounds, fc.array(fc.integer({ min: -300_000, max: 300_000 })), (given, values) => {
      const own = toRegExp(matchNumberRange(given, false))
      const all = [...values.map((value) => value / 100), ...near(given.least), ...near(given.most)]
      const short = [0, ...all].flatMap((value) => toText(value) ?? [])
      const texts = [...short, ...short.filter((text) => text !== '0').map(lengthen)]
      expect(texts.filter((text) => own.test(text))).toEqual(
        texts.filter((text) => isInside(Number(text), given)),
      )
    }),
    { numRuns: 500 },
  )
})
