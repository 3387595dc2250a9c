import { expect, it } from 'vitest'
import { readOptions } from '../../../base/schema.ts'
import { generateFields } from '../../engine/generate-options.ts'
import type { GenerateOptions } from '../../engine/generate-options.ts'
import { createProcessors } from './processor-table.ts'

function process(
  options: GenerateOptions,
  logits: readonly number[],
  tokens: readonly number[],
  promptTokens: number,
): number[] {
  const settings = readOptions('Generation options', options, generateFields)
  const values = Float32Array.from(logits)
  for (const processor of createProcessors(settings, new Set([0])))
    processor.apply(values, { tokens, promptTokens })
  return [...values]
}

it('has nothing to do at neutral settings', () => {
  const settings = readOptions('Generation options', {}, generateFields)
  expect(createProcessors(settings, new Set([0]))).toEqual([])
})

it('penalizes tokens of prompt and answer once, towards less likely', () => {
  expect(process({ repetitionPenalty: 2 }, [2, -2, 4], [0, 1, 1], 1)).toEqual([1, -4, 4])
})

it('counts the tokens of the answer only, as OpenAI does', () => {
  const options = { frequencyPenalty: 0.5, presencePenalty: 1 }
  expect(process(options, [0, 0, 0, 0], [3, 1, 1, 2], 1)).toEqual([0, -2, -1.5, 0])
})

it('adds a bias and bans tokens; ids outside of the vocabulary change nothing', () => {
  expect(process({ logitBias: { 1: 5, 9: 1 }, bannedTokens: [2, 9] }, [1, 1, 1], [0], 1)).toEqual([
    1,
    6,
    -Infinity,
  ])
})

it('keeps end-of-text tokens out before the least number of tokens', () => {
  expect(process({ minTokens: 2 }, [9, 1], [1, 1], 1)).toEqual([-Infinity, 1])
  expect(process({ minTokens: 2 }, [9, 1], [1, 1, 1], 1)).toEqual([9, 1])
})
