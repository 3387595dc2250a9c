// What every drafter must do: propose no more tokens than allowed, all of them in the vocabulary,
// the same ones for the same input; and not change its input.

import { expect, it } from 'vitest'
import { random } from '../../../base/random.ts'
import type { Drafter } from './drafter.ts'

/** `make` gives a drafter that may propose ids below `vocabulary`. */
export function describeDrafter(make: () => Drafter, vocabulary = 7): void {
  const { integer } = random(5)
  const texts = Array.from({ length: 30 }, (_, length) =>
    Array.from({ length: 1 + length }, () => integer(vocabulary)),
  )
  it('proposes at most as many tokens as it may, of those that exist', () => {
    const drafter = make()
    for (const tokens of texts)
      for (const most of [1, 2, 7]) {
        const proposed = drafter.propose(tokens, most)
        expect(proposed.length).toBeLessThanOrEqual(most)
        for (const id of proposed) expect(id >= 0 && id < vocabulary).toBe(true)
      }
  })
  it('leaves the tokens alone, and proposes the same for the same ones', () => {
    for (const tokens of texts) {
      const kept = [...tokens]
      const proposed = make().propose(tokens, 5)
      expect(tokens).toEqual(kept)
      expect(make().propose(kept, 5)).toEqual(proposed)
    }
  })
  it('has a name', () => expect(make().name).toMatch(/^[a-z-]+$/))
}
