import { describe, expect, it } from 'vitest'
import { describeSummary, describeUnusedDate } from './training-view.ts'

describe('describeSummary', () => {
  it('reports what of the rows is not used, and nothing where all is', () => {
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

describe('describeUnusedDate', () => {
  it('names both days, and nothing where no --date was given or it is the same day', () => {
    const checkpointDate = new Date(2026, 10, 9, 12)
    expect(describeUnusedDate({ checkpointDate }, '2026-11-30')).toEqual([
      '--date 2026-11-30 is not used: the run continues with the date of its checkpoint, 2026-11-09, so that its data stay the same.',
    ])
    expect(describeUnusedDate({ checkpointDate }, undefined)).toEqual([])
    expect(describeUnusedDate({}, '2026-11-30')).toEqual([])
  })
})
