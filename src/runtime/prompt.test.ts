import { expect, it } from 'vitest'
import { characterTokenizer } from '../../test/support/train.ts'
import type { BaseModel } from '../graph/base-model.ts'
import { createPromptEncoder } from './prompt.ts'

it("shows the model's date in a conversation, unless the chat options have one", () => {
  const tokenizer = characterTokenizer()
  const base = {
    name: 'dated',
    tokenizer,
    chatTemplate: "{{ strftime_now('%Y-%m-%d') }}",
  } as unknown as BaseModel
  const encode = createPromptEncoder(base, new Date(2024, 6, 6, 12))
  const asked = [{ role: 'user', content: 'hi' }]
  expect(tokenizer.decode(encode(asked))).toBe('2024-07-06')
  expect(tokenizer.decode(encode(asked, { now: new Date(2025, 0, 1, 12) }))).toBe('2025-01-01')
  expect(() => createPromptEncoder(base)(asked)).toThrow(/pass the option `now`/)
})
