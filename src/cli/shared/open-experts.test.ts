// What --adapter may be: folders, folders with weights, several of either.
import { describe, expect, it } from 'vitest'
import { UsageError } from '../command.ts'
import { parseExperts, parseStages } from './open-experts.ts'

describe('expertsNamed', () => {
  it('reads folders, weights, and lists of folders with weights', () => {
    expect(parseExperts(['coder'])).toEqual([{ folder: 'coder', weight: 1 }])
    expect(parseExperts(['coder=0.7', 'security=-.3'])).toEqual([
      { folder: 'coder', weight: 0.7 },
      { folder: 'security', weight: -0.3 },
    ])
    expect(parseExperts(['./a/coder=1e-1, security=+2,third'])).toEqual([
      { folder: './a/coder', weight: 0.1 },
      { folder: 'security', weight: 2 },
      { folder: 'third', weight: 1 },
    ])
  })
  it('reads weights by layer', () => {
    const layered = [
      { layers: [0, 9], weight: 0.2 },
      { layers: [10, 10], weight: 0.8 },
    ]
    expect(parseExperts(['coder=0.2@0-9/0.8@10, poet=1', 'x=0.5@y'])).toEqual([
      { folder: 'coder', weight: layered },
      { folder: 'poet', weight: 1 },
      { folder: 'x=0.5@y', weight: 1 },
    ])
  })
  it('leaves folders whole that have a comma or an equals sign in their names', () => {
    expect(parseExperts(['one, two', 'rank=high', 'rank=high=0.5'])).toEqual([
      { folder: 'one, two', weight: 1 },
      { folder: 'rank=high', weight: 1 },
      { folder: 'rank=high', weight: 0.5 },
    ])
  })
})

describe('parseStages', () => {
  it('reads tokens and the expert that takes over there', () => {
    expect(parseStages(['40:./a:b', '60-80: poet=0.5,judge=0.5', '90:base'])).toEqual([
      { from: 40, to: 40, experts: [{ folder: './a:b', weight: 1 }] },
      {
        from: 60,
        to: 80,
        experts: [
          { folder: 'poet', weight: 0.5 },
          { folder: 'judge', weight: 0.5 },
        ],
      },
      { from: 90, to: 90, experts: [] },
    ])
  })
  it.each(['poet', ':poet', '40', '40:', '-4:poet', '4.5:poet'])('refuses %s', (text) => {
    expect(() => parseStages([text])).toThrow(UsageError)
  })
})
