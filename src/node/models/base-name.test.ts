// The base's name in adapters, and where that base is found again.
import { describe, expect, it } from 'vitest'
import { getBaseName, getBaseSource, isOnThisMachine } from './base-name.ts'

describe('the name of a base in adapter_config.json', () => {
  it.each([
    ['stories260k', 'stories260k', 'stories260k'],
    ['smollm2-135m-instruct', 'HuggingFaceTB/SmolLM2-135M-Instruct', 'smollm2-135m-instruct'],
    ['smollm2-135m-instruct:q4_1', 'smollm2-135m-instruct:q4_1', 'smollm2-135m-instruct:q4_1'],
    ['hf:Qwen/Qwen3-0.6B@main', 'Qwen/Qwen3-0.6B', 'hf:Qwen/Qwen3-0.6B'],
    ['./models/mine', './models/mine', './models/mine'],
    ['/models/mine.gguf', '/models/mine.gguf', '/models/mine.gguf'],
    ['models/mine.gguf', 'models/mine.gguf', 'models/mine.gguf'],
  ])('%s is written as %s and found again as %s', (source, written, found) => {
    expect(getBaseName(source)).toBe(written)
    expect(getBaseSource(written)).toBe(found)
  })
})

it.each([
  ['/workspace-of-somebody/models/my-model', false],
  ['my-model', false],
  ['stories260k', true],
  ['hf:Qwen/Qwen3-0.6B', true],
  [import.meta.dirname, true],
])('%s can be looked for here: %s', async (source, expected) => {
  expect(await isOnThisMachine(source)).toBe(expected)
})
