import { expect, it } from 'vitest'
import { joinProblems, quoteName, computeSafeProduct } from './quote.ts'

it('quotes names on one line and cuts hostile ones', () => {
  expect(quoteName('a\n"b"')).toBe(String.raw`"a\n\"b\""`)
  expect(quoteName('x'.repeat(1e6)).length).toBeLessThan(130)
})

it('lists the first problems and counts the others', () => {
  expect(joinProblems(['a', 'b', 'c'], 2)).toBe('  a\n  b\n  … and 1 more')
  expect(joinProblems(['a'])).toBe('  a')
})

it.each([
  [[], 1],
  [[3, 4], 12],
  [[2 ** 40, 2 ** 40, 0], 0],
  [[2 ** 26, 2 ** 27], undefined],
  [[2 ** 26, 2 ** 26], 2 ** 52],
])('the product of %j is %s', (shape, product) => {
  expect(computeSafeProduct(shape)).toBe(product)
})
