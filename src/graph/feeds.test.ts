import { describe, expect, it } from 'vitest'
import { OptionError, ShapeError } from '../base/errors.ts'
import type { Tensor } from '../base/tensor.ts'
import { computeCausalMask, HIDDEN_SCORE, collectModelFeeds } from './feeds.ts'
import type { LayerConfig, ModelConfig } from './model-config.ts'
import { tinySizes } from './models/architecture.contract.ts'
import { llama } from './models/llama.ts'

const configWith = (...layers: LayerConfig[]): ModelConfig => ({
  ...llama.readConfig({ ...tinySizes, model_type: 'llama' }),
  layers,
})
const full: LayerConfig = { rope: 'main' }
const sliding: LayerConfig = { rope: 'main', slidingWindow: 2 }

/** A mask as rows of characters: x where the query sees the key. */
function picture(mask: Tensor): string[] {
  const [batch, , tokens, span] = mask.shape as [number, number, number, number]
  return Array.from({ length: batch * tokens }, (_, row) =>
    Array.from({ length: span }, (_key, s) =>
      (mask.data as Float32Array)[row * span + s] === 0 ? 'x' : '.',
    ).join(''),
  )
}

describe('computeCausalMask', () => {
  it('lets every token see itself and those before it', () => {
    const mask = computeCausalMask(2, 3)
    expect(mask.shape).toEqual([2, 1, 3, 3])
    expect(picture(mask)).toEqual(['x..', 'xx.', 'xxx', 'x..', 'xx.', 'xxx'])
  })
  it('keeps to a window, the token itself included', () => {
    expect(picture(computeCausalMask(1, 4, { window: 2 }))).toEqual([
      'x...',
      'xx..',
      '.xx.',
      '..xx',
    ])
  })
  it('keeps packed sequences apart; padding sees itself only', () => {
    const segments = [
      [4, 4, 5, 5, -1, -1],
      [1, 1, 1, 1, 1, 1],
    ]
    expect(picture(computeCausalMask(2, 6, { segments }))).toEqual([
      ...['x.....', 'xx....', '..x...', '..xx..', '....x.', '.....x'],
      ...['x.....', 'xx....', 'xxx...', 'xxxx..', 'xxxxx.', 'xxxxxx'],
    ])
    expect(picture(computeCausalMask(1, 4, { segments: [[0, 0, 0, 1]], window: 2 }))).toEqual([
      'x...',
      'xx..',
      '.xx.',
      '...x',
    ])
  })
  it('masks by a number that stays finite after adding any score', () => {
    for (const score of [0, 1e4, -1e4, 1e30])
      expect(Number.isFinite(Math.fround(Math.fround(HIDDEN_SCORE) - score))).toBe(true)
    expect(Math.exp(HIDDEN_SCORE + 1e4)).toBe(0)
  })
  it('is made fast enough to be made at every step', () => {
    const segments = Array.from({ length: 4 }, () => Array.from({ length: 512 }, (_, t) => t >> 6))
    const start = performance.now()
    computeCausalMask(4, 512, { segments })
    expect(performance.now() - start).toBeLessThan(200) // about 2 ms where nothing else runs
  })
})

describe('collectModelFeeds', () => {
  const bigints = (values: number[]): bigint[] => values.map(BigInt)

  it('gives ids, positions and what the layers read', () => {
    const feeds = collectModelFeeds(configWith(full), {
      ids: [
        [1, 2, 3],
        [4, 5, 6],
      ],
    })
    expect([...feeds.keys()].sort()).toEqual(['ids', 'mask', 'positions', 'rope.cos', 'rope.sin'])
    expect([...(feeds.get('positions')!.data as BigInt64Array)]).toEqual(
      bigints([0, 1, 2, 0, 1, 2]),
    )
    expect(feeds.get('ids')!.shape).toEqual([2, 3])
  })
  it('gives sliding layers the sliding mask, and one mask to all layers if the window is longer than the text', () => {
    const both = collectModelFeeds(configWith(full, sliding), { ids: [[1, 2, 3]] })
    expect(picture(both.get('mask.sliding')!)).toEqual(['x..', 'xx.', '.xx'])
    expect(picture(both.get('mask')!)).toEqual(['x..', 'xx.', 'xxx'])
    expect(collectModelFeeds(configWith(sliding), { ids: [[1, 2, 3]] }).has('mask')).toBe(false)
    const short = collectModelFeeds(configWith(full, sliding), { ids: [[1, 2]] })
    expect(short.get('mask.sliding')).toBe(short.get('mask'))
  })
  it('counts positions from 0 in each segment, unless they are given', () => {
    const segments = [[0, 0, 0, 1, 1, -1]]
    const ids = [[1, 2, 3, 4, 5, 0]]
    expect([
      ...(collectModelFeeds(configWith(full), { ids, segments }).get('positions')!
        .data as BigInt64Array),
    ]).toEqual(bigints([0, 1, 2, 0, 1, 0]))
    const given = collectModelFeeds(configWith(full), {
      ids,
      segments,
      positions: [[7, 8, 9, 0, 1, 2]],
    })
    expect([...(given.get('positions')!.data as BigInt64Array)]).toEqual(
      bigints([7, 8, 9, 0, 1, 2]),
    )
  })
  it('gives tables that reach the furthest position, and have a row for each token', () => {
    const config = configWith(full)
    expect(
      collectModelFeeds(config, { ids: [[1]], positions: [[100]] }).get('rope.cos')!.shape[0],
    ).toBe(128)
    const segments = [Array.from({ length: 300 }, (_, t) => t)] // every position is 0
    expect(
      collectModelFeeds(config, { ids: [Array<number>(300).fill(1)], segments }).get('rope.cos')!
        .shape[0],
    ).toBe(512)
  })
  it('refuses rows of unequal length, ids outside the vocabulary, and nothing at all', () => {
    expect(() => collectModelFeeds(configWith(full), { ids: [[1, 2], [3]] })).toThrow(
      'got rows of 2, 1, expected 2 of 2',
    )
    expect(() => collectModelFeeds(configWith(full), { ids: [[1, 2]], segments: [[0]] })).toThrow(
      ShapeError,
    )
    expect(() => collectModelFeeds(configWith(full), { ids: [[1, 19]] })).toThrow(
      'Token 1 of row 0: got id 19',
    )
    expect(() => collectModelFeeds(configWith(full), { ids: [[1.5]] })).toThrow(OptionError)
    expect(() => collectModelFeeds(configWith(full), { ids: [] })).toThrow('no tokens')
  })
})
