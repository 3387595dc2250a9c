import { describe, expect, it } from 'vitest'
import { describeSummary } from './training-view.ts'

describe('describeSummary', () => {
  it('says what of the rows is not used, and nothing where all is', () => {
    expect(
      describeSummary({
        leftOut: { id: 2, 'messages[].name': 1 },
        readOnlyTurns: 1,
        brokenText: 3,
      }),
    ).toEqual([
      'not used by the format or the chat template: id (2 rows), messages[].name (1 row)',
      '1 turn of weight 0 only read, not learned',
      '3 rows with half a surrogate pair, read as U+FFFD',
    ])
    expect(describeSummary({ leftOut: {}, readOnlyTurns: 0, brokenText: 0 })).toEqual([])
    expect(describeSummary(undefined)).toEqual([])
  })
})
