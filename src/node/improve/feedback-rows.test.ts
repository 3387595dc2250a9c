// Distinguishes rows that a version was trained on from new ones, and rows that must be forgotten
// from those that were only dropped by age.

import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { storiesModel, type TestModel } from '../../../test/support/learner.ts'
import type { StoredTurn } from '../../learn/export/read-history.ts'
import type { UserTurns } from './collect-turns.ts'
import { buildFeedbackRows, countNewTurns, createForgottenTest } from './feedback-rows.ts'
import { chooseVersion } from './improve-expert.ts'

let model: TestModel
beforeAll(async () => void (model = await storiesModel()))
afterAll(() => model.dispose())

const hideUser = (user: string): string => `hidden ${user}`
const encode = (text: string): number[] => model?.base.tokenizer!.encode(text) ?? []

const makeTurn = (number: number, prompt: string, answer: string): StoredTurn => ({
  number,
  place: number,
  promptIds: encode(prompt),
  answerIds: encode(answer),
  signal: undefined,
  replacedIds: undefined,
})

const makeUser = (user: string, turns: readonly StoredTurn[], dropped = 0): UserTurns => ({
  user,
  base: 'b',
  expert: 'e',
  dropped,
  turns,
})

describe('rows from feedback', () => {
  it('hold prompts out for all users alike, and name the turns they are from', () => {
    const prompts = Array.from({ length: 40 }, (_, i) => `Tale ${i}:`)
    const turns = prompts.map((prompt, i) => makeTurn(i, prompt, ' Mail a@b.org.'))
    const histories = [makeUser('ada', turns), makeUser('eve', turns.slice(0, 20))]
    const choice = { form: 'answers' as const, held: 0.3, redact: 'all', seed: 1, hideUser }
    const expert = { kind: 'lora', config: {}, tensors: new Map() } as never
    const { train, held, sources, users } = buildFeedbackRows(histories, { model, expert }, choice)
    const promptsOf = ({ rows }: typeof train) => new Set(rows.map(({ value }) => value['prompt']))
    expect(promptsOf(train).isDisjointFrom(promptsOf(held))).toBe(true)
    expect(train.rows.length + held.rows.length).toBe(40)
    expect(held.rows.length).toBeGreaterThan(5)
    expect(JSON.stringify([train.rows, held.rows])).not.toContain('a@b.org')
    expect([sources.length, users]).toEqual([60, 2])
    expect(JSON.stringify(sources)).not.toContain('"ada"')
    expect(countNewTurns(sources, sources.slice(10))).toBe(10)
  })

  it('are empty before any answer was rated', () => {
    const choice = { form: 'answers' as const, held: 0.3, redact: 'all', seed: 1, hideUser }
    const expert = { kind: 'lora', config: {}, tensors: new Map() } as never
    const rows = buildFeedbackRows([], { model, expert }, choice)
    expect(rows).toMatchObject({ train: { rows: [] }, held: { rows: [] }, sources: [], users: 0 })
  })
})

describe('what must be forgotten', () => {
  const source = { user: 'hidden ada', expert: 'e', turn: 3, place: 3 }
  const kept = [4, 5].map((number) => makeTurn(number, 'p', 'a'))
  it.each([
    ['a user who is gone', [], true],
    ['a turn that was unlearned', [makeUser('ada', kept, 2)], true],
    ['a turn that is too old to be kept', [makeUser('ada', kept, 4)], false],
    ['a turn that is there', [makeUser('ada', [makeTurn(3, 'p', 'a')], 3)], false],
  ] as const)('%s: %#', (_, histories, isForgotten) => {
    expect(createForgottenTest(histories, hideUser)(source)).toBe(isForgotten)
  })
})

it('versions count on, pre-releases by their number', () => {
  const choose = (...versions: string[]) => chooseVersion(versions.map((version) => ({ version })))
  expect(choose('1.2.0')).toBe('1.3.0-rc.1')
  expect(choose('1.2.0', '1.3.0-rc.1', '1.3.0-rc.4')).toBe('1.3.0-rc.5')
  expect(choose('0.1.0', '0.2.0-rc.1', '0.2.0')).toBe('0.3.0-rc.1')
})
