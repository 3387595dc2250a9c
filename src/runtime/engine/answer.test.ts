import { expect, it, vi } from 'vitest'
import { readOptions } from '../../base/schema.ts'
import type { ProcessorContext } from '../decode/processors/processor.ts'
import type * as SamplerModule from '../decode/sampler.ts'
import { Answer } from './answer.ts'
import { generateFields, type GenerateOptions } from './generate-options.ts'

const contexts: ProcessorContext[] = []
vi.mock('../decode/sampler.ts', async (load) => {
  const real = await load<typeof SamplerModule>()
  return {
    ...real,
    createSampler: (...given: Parameters<typeof real.createSampler>): SamplerModule.Sampler => {
      const sampler = real.createSampler(...given)
      return (logits, context) => {
        contexts.push(context)
        return sampler(logits, context)
      }
    },
  }
})

const begin = (tokens: number[], options: GenerateOptions = {}): Answer =>
  new Answer(tokens, readOptions('Generation options', options, generateFields), {
    tokenizer: undefined,
    eosIds: new Set([0]),
    contextTokens: 100,
  })

it('gives the sampler one array that grows: prompt, then answer', () => {
  const prompt = [3]
  const answer = begin(prompt, { repetitionPenalty: 4 })
  const logits = Float32Array.of(0, 1, 2, 3)
  answer.sampleNext(logits)
  answer.sampleNext(logits)
  answer.sampleNext(logits)
  expect(answer.ids).toEqual([2, 1, 3])
  expect(new Set(contexts.map(({ tokens }) => tokens))).toEqual(new Set([prompt]))
  expect(prompt).toEqual([3, 2, 1, 3])
})

it('ends at the limit of tokens, and not before the least number of them', () => {
  const end = Float32Array.of(9, 1)
  const short = begin([3], { minTokens: 2 })
  for (let i = 0; i < 3; i++) short.sampleNext(end)
  expect([short.ids, short.reason]).toEqual([[1, 1], 'eos'])
  const long = begin([3], { maxTokens: 1 })
  long.sampleNext(Float32Array.of(1, 9))
  expect(long.toGeneration(1, 2, { promptTokens: 1, cachedTokens: 0 })).toMatchObject({
    ids: [1],
    reason: 'length',
    promptTokens: 1,
  })
})

it('leaves special tokens out of the text but those that are kept', () => {
  const texts = ['</s>', '<call>', '</call>', '<other>', 'a']
  const decode = (ids: readonly number[], { skipSpecialTokens = false } = {}): string =>
    ids.map((id) => (skipSpecialTokens && id < 4 ? '' : texts[id]!)).join('')
  const tokenId = (token: string): number | undefined =>
    texts.includes(token) ? texts.indexOf(token) : undefined
  const tokenizer = { vocabularySize: 5, encode: () => [], decode, tokenId }
  const write = (keepTokens: string[]): string => {
    const options = readOptions('Generation options', { keepTokens }, generateFields)
    const answer = new Answer([4], options, { tokenizer, eosIds: new Set([0]), contextTokens: 9 })
    for (const id of [4, 1, 4, 3, 2, 0])
      answer.sampleNext(Float32Array.from(texts, (_, i) => (i === id ? 1 : 0)))
    return answer.text
  }
  expect(write([])).toBe('aa')
  expect(write(['<call>', '</call>', '<none>'])).toBe('a<call>a</call>')
})
