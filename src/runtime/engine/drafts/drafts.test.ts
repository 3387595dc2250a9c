import { describe, expect, it } from 'vitest'
import { Acceptance } from './acceptance.ts'
import { estimateAheadCost } from './draft-costs.ts'
import { describeDrafter } from './drafter.contract.ts'
import type { Drafter } from './drafter.ts'
import { drafterMakers } from './drafter-table.ts'
import { planDrafts } from './plan-drafts.ts'
import { createPromptLookup } from './prompt-lookup.ts'
import { type Draft, Speculation } from './speculation.ts'

describe.each(drafterMakers.map((make) => [make().name, make] as const))('%s', (_, make) => {
  describeDrafter(make)
})

describe('prompt lookup', () => {
  const { propose } = createPromptLookup()
  it('continues as the longest match does, the latest of equals', () => {
    expect(propose([1, 2, 3, 4, 9, 2, 3, 5, 0, 1, 2, 3], 2)).toEqual([4, 9])
    expect(propose([2, 3, 4, 2, 3, 5, 2, 3], 1)).toEqual([5])
  })
  it('asks for two equal tokens', () => {
    expect(propose([1, 2, 3, 9, 3], 2)).toEqual([])
    expect(propose([1], 2)).toEqual([])
  })
  it('runs on into what it proposes', () => {
    expect(propose([5, 1, 2, 1, 2], 5)).toEqual([1, 2, 1, 2, 1])
  })
})

/** Always proposes the same. */
const createFixed = (tokens: readonly number[], name = 'fixed'): Drafter => ({
  name,
  propose: (_, most) => tokens.slice(0, most),
})

describe('one answer’s drafts', () => {
  const drafted = [1, 2, 3, 4, 5, 6, 7, 8, 9]
  it('grow while they are right, to what a call can gain by', () => {
    const speculation = new Speculation([createFixed(drafted)], 'fast')
    let length = 10
    const lengths: number[] = []
    for (let call = 0; call < 6; call++) {
      const draft = speculation.propose(new Array<number>(length).fill(0), 100)!
      lengths.push(draft.tokens.length)
      speculation.settle(draft, draft.tokens.length)
      length += draft.tokens.length + 1
    }
    expect(lengths[0]).toBeLessThan(lengths.at(-1)!)
    expect(lengths.at(-1)).toBe(7)
    expect(speculation.counts.accepted).toBe(speculation.counts.drafted)
  })
  it('are switched off where they are wrong, and tried ever more seldom', () => {
    const speculation = new Speculation([createFixed(drafted)], 'fast')
    const calls: number[] = []
    for (let length = 1; length < 1000; length++) {
      const draft = speculation.propose(new Array<number>(length).fill(0), 100)
      if (!draft) continue
      calls.push(length)
      speculation.settle(draft, 0)
    }
    expect(calls.length).toBeLessThan(16)
    expect(calls.at(-1)! - calls.at(-2)!).toBeGreaterThanOrEqual(256)
    expect(speculation.counts.accepted).toBe(0)
  })
  it('come from the drafter that is right more often', () => {
    const speculation = new Speculation(
      [createFixed([1, 1, 1], 'wrong'), createFixed([2, 2, 2], 'right')],
      'fast',
    )
    const names: string[] = []
    for (let length = 1; length < 40; length++) {
      const draft = speculation.propose(new Array<number>(length).fill(0), 100)!
      names.push(draft.drafter)
      speculation.settle(draft, draft.drafter === 'right' ? draft.tokens.length : 0)
    }
    expect(names.slice(5).filter((name) => name === 'wrong').length).toBeLessThan(3)
  })
  it('have no more tokens than there is room for', () => {
    const speculation = new Speculation([createFixed(drafted)], 'fast')
    expect(speculation.propose([1], 0)).toBeUndefined()
    expect(speculation.propose([1], 1)!.tokens).toEqual([1])
  })
  it('are shorter where further tokens cost more', () => {
    const costs = [2, 4, 8].map((tokens) => estimateAheadCost(tokens, 'exact'))
    expect(costs[0]).toBeGreaterThan(estimateAheadCost(2, 'fast'))
    expect(costs.toSorted((a, b) => a - b)).toEqual(costs)
  })
  it('expect tokens by the rate', () => {
    const acceptance = new Acceptance()
    expect(acceptance.expectTokens(0)).toBe(1)
    expect(acceptance.expectTokens(2)).toBeCloseTo(1 + 0.75 + 0.75 ** 2)
    acceptance.count(4, 1)
    expect(acceptance.rate).toBeCloseTo((1.5 * 0.85 + 1) / (2 * 0.85 + 2))
  })
})

describe('which rows look ahead', () => {
  const createDraft = (expected: number, cost: number): Draft => ({
    tokens: [1],
    expected,
    cost,
    isTrial: false,
    drafter: 'a',
  })
  it('a row by itself that has a draft', () => {
    const draft = createDraft(2, 1.2)
    expect(planDrafts(new Map([['a', draft]]), 'fast')).toEqual(new Map([['a', draft]]))
    expect(planDrafts(new Map([['a', undefined]]), 'fast').size).toBe(0)
  })
  it('of two those with which the step gives most for its cost', () => {
    const good = createDraft(6, 1.9)
    const poor = createDraft(1.2, 1.1)
    expect([
      ...planDrafts(
        new Map([
          ['a', good],
          ['b', poor],
        ]),
        'fast',
      ).keys(),
    ]).toEqual(['a'])
    expect([
      ...planDrafts(
        new Map([
          ['a', good],
          ['b', good],
        ]),
        'fast',
      ).keys(),
    ]).toEqual(['a', 'b'])
    expect(
      planDrafts(
        new Map([
          ['a', poor],
          ['b', poor],
        ]),
        'fast',
      ).size,
    ).toBe(0)
    expect([
      ...planDrafts(
        new Map([
          ['a', undefined],
          ['b', good],
        ]),
        'fast',
      ).keys(),
    ]).toEqual(['b'])
  })
  it('none of three', () => {
    const good = createDraft(6, 1.9)
    expect(
      planDrafts(
        new Map([
          ['a', good],
          ['b', good],
          ['c', good],
        ]),
        'fast',
      ).size,
    ).toBe(0)
  })
})
