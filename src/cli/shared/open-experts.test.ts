// What --adapter may be: folders, folders with weights, several of either.
import { describe, expect, it } from 'vitest'
import { parseExperts } from './open-experts.ts'

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
  it('leaves folders whole that have a comma or an equals sign in their names', () => {
    expect(parseExperts(['one, two', 'rank=high', 'rank=high=0.5'])).toEqual([
      { folder: 'one, two', weight: 1 },
      { folder: 'rank=high', weight: 1 },
      { folder: 'rank=high', weight: 0.5 },
    ])
  })
})
