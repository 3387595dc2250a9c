import { describe, expect, it } from 'vitest'
import { characterTokenizer } from '../../test/support/train.ts'
import type { Adapter, Expert } from '../adapters/index.ts'
import type { BaseModel } from '../graph/base-model.ts'
import { createPromptEncoder, type PromptDates } from './prompt.ts'

it("shows the model's date in a conversation, unless the chat options have one", () => {
  const tokenizer = characterTokenizer()
  const base = {
    name: 'dated',
    tokenizer,
    chatTemplate: "{{ strftime_now('%Y-%m-%d') }}",
  } as unknown as BaseModel
  const encode = createPromptEncoder(base, { date: new Date(2024, 6, 6, 12) })
  const asked = [{ role: 'user', content: 'hi' }]
  expect(tokenizer.decode(encode(asked))).toBe('2024-07-06')
  expect(tokenizer.decode(encode(asked, { now: new Date(2025, 0, 1, 12) }))).toBe('2025-01-01')
  expect(() => createPromptEncoder(base)(asked)).toThrow(/pass the option `now`/)
})

describe('an expert that was trained with a date', () => {
  const tokenizer = characterTokenizer()
  const base = {
    name: 'dated',
    tokenizer,
    chatTemplate: "{{ strftime_now('%Y-%m-%d') }}",
  } as unknown as BaseModel
  const teach = (date?: string): Adapter => ({
    kind: 'lora',
    config: { targets: [], exclude: [], layersPattern: [], dropout: 0 },
    tensors: new Map(),
    ...(date !== undefined && { metadata: { graft_date: date } }),
  })
  const asked = [{ role: 'user', content: 'hi' }]
  const today = new Date(2026, 10, 30, 12)
  const ask = (expert: Expert, dates: PromptDates = { today }): string =>
    tokenizer.decode(createPromptEncoder(base, dates)(asked, {}, expert))

  it('is asked with it', () => {
    expect(ask(teach('2024-07-06'))).toBe('2024-07-06')
    expect(ask(teach('2024-07-06'), {})).toBe('2024-07-06')
    expect(ask(teach())).toBe('2026-11-30')
  })

  it('is asked with another one where that is given', () => {
    const date = new Date(2025, 0, 1, 12)
    expect(ask(teach('2024-07-06'), { date, today })).toBe('2025-01-01')
    const encode = createPromptEncoder(base, { date, today })
    const ids = encode(asked, { now: new Date(2023, 0, 2, 12) }, teach('2024-07-06'))
    expect(tokenizer.decode(ids)).toBe('2023-01-02')
  })

  it('in a mixture counts where all say the same', () => {
    const mix = (...days: (string | undefined)[]): Expert => ({
      mixture: days.map((day) => ({ adapter: teach(day), weight: 0.5 })),
    })
    expect(ask(mix('2024-07-06', '2024-07-06'))).toBe('2024-07-06')
    expect(ask(mix('2024-07-06', '2024-07-07'))).toBe('2026-11-30')
    expect(ask(mix('2024-07-06', undefined))).toBe('2026-11-30')
  })
})
