// What merge is given besides a method: adapters and weights by name, and what the result is.
import { describe, expect, it } from 'vitest'
import { OptionError } from '../base/errors.ts'
import { compress } from './compress.ts'
import { extract } from './extract.ts'
import { createRandomAdapter, smallShapes } from './fixture.contract.ts'
import { mergeIntoBase } from './into-base/merge-into-base.ts'
import { merge } from './merge.ts'

const coder = createRandomAdapter({ seed: 1 })
const reviewer = createRandomAdapter({ seed: 2 })
const named = (name: string, adapter = coder) => ({ ...adapter, metadata: { name } })
const paths = Object.keys(smallShapes)

describe('weights', () => {
  const expected = merge([coder, reviewer], { weights: [0.7, -0.3] })
  it('go by position, by the key of an adapter or by its name', () => {
    expect(merge({ coder, reviewer }, { weights: { reviewer: -0.3, coder: 0.7 } })).toEqual(
      expected,
    )
    expect(merge({ coder, reviewer }, { weights: [0.7, -0.3] })).toEqual(expected)
    expect(
      merge([named('coder'), named('reviewer', reviewer)], {
        weights: { coder: 0.7, reviewer: -0.3 },
      }),
    ).toEqual({ ...expected, metadata: { name: 'coder + reviewer' } })
  })
  it.each([
    [{ coder: 1, reviwer: 1 }, 'there is no adapter "reviwer". Did you mean "reviewer"?'],
    [{ coder: 1 }, 'there is none for "reviewer"'],
    [{ coder: 1, reviewer: 'x' }, 'weights[reviewer]: got "x", expected a number'],
    ['0.5,0.5', 'weights: got "0.5,0.5", expected a list of numbers, or an object'],
  ])('are refused where they are %j', (weights, message) => {
    expect(() => merge({ coder, reviewer }, { weights: weights as never })).toThrow(message)
  })
  it('by name want a name for each adapter, each once', () => {
    expect(() => merge([named('a'), reviewer], { weights: { a: 1 } })).toThrow(
      'adapters[1] has no name; give the weights as a list',
    )
    expect(() => merge([named('a'), named('a')], { weights: { a: 1 } })).toThrow(
      'several adapters are called "a"',
    )
  })
})

describe('the result', () => {
  it('has the name and tags that are given', () => {
    const { metadata } = merge([coder, reviewer], { name: 'both', tags: ['code', 'review'] })
    expect(metadata).toEqual({ name: 'both', tags: 'code review' })
    expect(merge([coder]).metadata).toBeUndefined()
  })
  it('has the element type that is given', () => {
    const whole = merge([coder, reviewer], { rank: 3 })
    const half = merge([coder, reviewer], { rank: 3, dtype: 'bf16' })
    expect([...half.tensors.keys()]).toEqual([...whole.tensors.keys()])
    expect([...half.tensors.values()].every(({ dtype }) => dtype === 'bf16')).toBe(true)
  })
  it('has the modules that are targets, and no others', () => {
    const part = merge([coder, reviewer], { targets: ['q_proj'] })
    expect(part.config.targets).toEqual(paths.filter((path) => path.endsWith('q_proj')))
    const whole = merge([coder, reviewer], {})
    expect([...part.tensors]).toEqual(
      [...whole.tensors].filter(([key]) => key.includes('.q_proj.')),
    )
    expect(() => merge([coder], { targets: ['k_porj'] })).toThrow('no module is called "k_porj"')
  })
})

describe('options', () => {
  it('of `dare` are those of dare-linear', () => {
    const options = { density: 0.5, seed: 3 }
    expect(merge([coder, reviewer], { method: 'dare', ...options })).toEqual(
      merge([coder, reviewer], { method: 'dare-linear', ...options }),
    )
  })
  it.each([
    [{ methd: 'ties' }, 'there is no option "methd". Did you mean "method"?'],
    [{ weight: [1, 1] }, 'Did you mean "weights"?'],
    [{ nam: 'both' }, 'Did you mean "name"?'],
    [{ anybase: true }, 'Did you mean "anyBase"?'],
    [{ method: 'ties', t: 0.5 }, 'it has no option "t" (it has weights, density, rank, energy)'],
    [{ dtype: 'int4' }, 'dtype: got "int4", expected "f32", "f16", "bf16"'],
    [{ tags: 'code' }, 'tags: got "code", expected a list'],
    [{ name: 'no name' }, 'name must be letters'],
    [{ rank: null }, 'rank: got null, expected an integer ≥ 1'],
  ])('that are wrong are named: %j', (options, message) => {
    expect(() => merge([coder, reviewer], options as never)).toThrow(OptionError)
    expect(() => merge([coder, reviewer], options as never)).toThrow(message)
  })
  it.each([
    [[coder, Promise.resolve(reviewer)], 'adapters[1]: got a promise, expected an adapter'],
    [{ coder, both: { mixture: [] } }, 'adapters[both]: got a mixture, expected an adapter'],
    [coder, 'got one adapter, expected a list of adapters'],
    ['coder', 'got "coder", expected a list of adapters'],
  ])('need adapters: %#', (adapters, message) => {
    expect(() => merge(adapters as never, {})).toThrow(message)
  })
  it('are checked by compress, extract and mergeIntoBase too', async () => {
    expect(() => compress(coder, { rnk: 3 } as never)).toThrow('Did you mean "rank"?')
    await expect(extract({} as never, {} as never, { rank: 3, sed: 1 } as never)).rejects.toThrow(
      'Did you mean "seed"?',
    )
    await expect(
      mergeIntoBase({} as never, [], {} as never, { dtipe: 'f16' } as never),
    ).rejects.toThrow('Did you mean "dtype"?')
  })
})
