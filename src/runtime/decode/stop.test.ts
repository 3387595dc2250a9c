import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { OptionError } from '../../base/errors.ts'
import { createStopMatcher } from './stop.ts'

const feed = (
  pieces: readonly string[],
  stops: readonly string[],
): { text: string; parts: string[]; found: string | undefined } => {
  const matcher = createStopMatcher(stops)
  const parts = [...pieces.map((piece) => matcher.push(piece)), matcher.end()]
  return { text: parts.join(''), parts, found: matcher.found }
}

describe('stopMatcher', () => {
  it('finds a stop string across pieces and gives out nothing of it', () => {
    expect(feed(['Hello', ' <', '|e', 'nd|> more', 'x'], ['<|end|>'])).toMatchObject({
      text: 'Hello ',
      found: '<|end|>',
    })
  })
  it('gives back what only looked like a stop string', () => {
    expect(feed(['a<', '|x', 'b'], ['<|end|>'])).toMatchObject({
      text: 'a<|xb',
      parts: ['a', '<|x', 'b', ''],
      found: undefined,
    })
  })
  it('gives what is held back at the end', () =>
    expect(feed(['a<|e'], ['<|end|>'])).toMatchObject({ text: 'a<|e' }))
  it('takes the earliest of several', () =>
    expect(feed(['one two'], ['two', 'on'])).toMatchObject({ text: '', found: 'on' }))
  it('passes everything without stop strings', () =>
    expect(feed(['a', 'b'], []).parts).toEqual(['a', 'b', '']))
  it('refuses an empty one', () => expect(() => createStopMatcher(['x', ''])).toThrow(OptionError))

  it('gives the text before the first stop string however the text is cut', () => {
    const letters = fc.string({ unit: fc.constantFrom('a', 'b'), maxLength: 30 })
    const stop = fc.string({ unit: fc.constantFrom('a', 'b'), minLength: 1, maxLength: 4 })
    fc.assert(
      fc.property(
        letters,
        fc.array(stop, { maxLength: 3 }),
        fc.array(fc.nat(30), { maxLength: 8 }),
        (text, stops, cuts) => {
          const places = [
            0,
            ...cuts.filter((cut) => cut <= text.length).sort((a, b) => a - b),
            text.length,
          ]
          const pieces = places.slice(1).map((end, i) => text.slice(places[i], end))
          // A shorter stop string may end before a longer one that began earlier is complete;
          // whichever is seen first counts.
          const cutAt = stops.map((one) => text.indexOf(one)).filter((at) => at >= 0)
          const { text: given, found } = feed(pieces, stops)
          expect(found !== undefined).toBe(cutAt.length > 0)
          expect(given === text).toBe(cutAt.length === 0)
          expect(text.startsWith(given)).toBe(true)
          for (const one of stops) expect(given.includes(one)).toBe(false)
        },
      ),
    )
  })
})
