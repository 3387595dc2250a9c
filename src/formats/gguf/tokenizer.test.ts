import { readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { FormatError, UnsupportedError } from '../../base/errors.ts'
import { convertGgufTokenizer } from './tokenizer.ts'
import { createTokenizer } from '../text/tokenizer.ts'

const golden = JSON.parse(
  readFileSync(new URL('../../../test/golden/tokenizers/fixtures.json', import.meta.url), 'utf8'),
) as {
  strings: string[]
}
const stories = JSON.parse(
  readFileSync(
    new URL('../../catalogue/models/stories260k/tokenizer.json', import.meta.url),
    'utf8',
  ),
) as {
  model: { vocab: Record<string, number> }
}

/**
 * The metadata that a GGUF of stories260k has: bytes at 3–258, then tokens in the order of merging,
 * so that −id is the score.
 */
function storiesMetadata(changes: Record<string, unknown> = {}): Map<string, unknown> {
  const tokens: string[] = []
  for (const [token, id] of Object.entries(stories.model.vocab)) tokens[id] = token
  const types = Int32Array.from(tokens, (_, id) => (id === 0 ? 2 : id < 3 ? 3 : id < 259 ? 6 : 1))
  return new Map<string, unknown>(
    Object.entries({
      'general.architecture': 'llama',
      'llama.context_length': 512,
      'tokenizer.ggml.model': 'llama',
      'tokenizer.ggml.tokens': tokens,
      'tokenizer.ggml.token_type': types,
      'tokenizer.ggml.scores': Float32Array.from(tokens, (_, id) => (id < 259 ? 0 : 259 - id)),
      'tokenizer.ggml.bos_token_id': 1,
      'tokenizer.ggml.eos_token_id': 2,
      'tokenizer.chat_template': '{{ messages[0].content }}',
      ...changes,
    }),
  )
}

const open = (metadata: Map<string, unknown>): ReturnType<typeof createTokenizer> => {
  const { tokenizerJson, tokenizerConfig } = convertGgufTokenizer(metadata)
  return createTokenizer(tokenizerJson, tokenizerConfig)
}

describe('a SentencePiece tokenizer in a GGUF', () => {
  const original = createTokenizer(stories, {})
  const tokenizer = open(storiesMetadata())

  it.each(golden.strings)('gives the ids of the original tokenizer.json for %j', (text) => {
    expect(tokenizer.encode(text)).toEqual(original.encode(text))
    expect(tokenizer.encode(text, { addSpecialTokens: true })).toEqual(
      original.encode(text, { addSpecialTokens: true }),
    )
    expect(tokenizer.decode(original.encode(text))).toBe(original.decode(original.encode(text)))
  })

  it('carries the special tokens, the context and the chat template', () => {
    expect([tokenizer.bosId, tokenizer.eosId, tokenizer.padId]).toEqual([1, 2, undefined])
    expect(convertGgufTokenizer(storiesMetadata()).tokenizerConfig).toMatchObject({
      chat_template: '{{ messages[0].content }}',
      model_max_length: 512,
    })
  })

  it('adds no leading space if the file says so', () => {
    const bare = open(storiesMetadata({ 'tokenizer.ggml.add_space_prefix': false }))
    expect(bare.decode(bare.encode('time'))).toBe('time')
    expect(bare.encode('time')).not.toEqual(tokenizer.encode('time'))
    expect(bare.encode(' time')).toEqual(tokenizer.encode('time'))
  })

  it('adds BOS and EOS as the file says', () => {
    const both = open(
      storiesMetadata({
        'tokenizer.ggml.add_bos_token': false,
        'tokenizer.ggml.add_eos_token': true,
      }),
    )
    expect(both.encode('', { addSpecialTokens: true })).toEqual([2])
  })

  it('is refused without scores, which say how to merge', () => {
    const metadata = storiesMetadata()
    metadata.delete('tokenizer.ggml.scores')
    expect(() => convertGgufTokenizer(metadata)).toThrow(UnsupportedError)
  })
})

describe('a byte-level tokenizer in a GGUF', () => {
  const bytes = Array.from({ length: 94 }, (_, i) => String.fromCharCode(33 + i))
  const tokens = ['<|end|>', ...bytes, 'Ġ', 'Ġa', 'an', 'Ġan', '12', '123', '<tool>']
  const metadata = (changes: Record<string, unknown> = {}): Map<string, unknown> =>
    new Map<string, unknown>(
      Object.entries({
        'tokenizer.ggml.model': 'gpt2',
        'tokenizer.ggml.pre': 'gpt-2',
        'tokenizer.ggml.tokens': tokens,
        'tokenizer.ggml.token_type': tokens.map((token) =>
          token === '<|end|>' ? 3 : token === '<tool>' ? 4 : 1,
        ),
        'tokenizer.ggml.merges': ['Ġ a', 'a n', 'Ġa n', '1 2', '12 3'],
        'tokenizer.ggml.eos_token_id': 0,
        ...changes,
      }),
    )
  const pieces = (text: string, changes = {}): string[] =>
    open(metadata(changes))
      .encode(text)
      .map((id) => tokens[id]!)

  it('merges as the list says and keeps control and user-defined tokens whole', () => {
    expect(pieces('an an<|end|><tool>')).toEqual(['an', 'Ġan', '<|end|>', '<tool>'])
  })

  it('leaves control tokens out of the text on request, user-defined ones in', () => {
    const tokenizer = open(metadata())
    expect(tokenizer.decode(tokenizer.encode('a<|end|><tool>'), { skipSpecialTokens: true })).toBe(
      'a<tool>',
    )
  })

  it.each([
    ['gpt-2', ['123', '4']],
    ['smollm', ['1', '2', '3', '4']],
    ['qwen2', ['1', '2', '3', '4']],
    ['llama-bpe', ['123', '4']],
    ['default', ['123', '4']],
    [undefined, ['123', '4']],
  ])('cuts digits as pre-tokenizer %s does', (pre, expected) => {
    const changes = pre === undefined ? {} : { 'tokenizer.ggml.pre': pre }
    const file = metadata(changes)
    if (pre === undefined) file.delete('tokenizer.ggml.pre')
    expect(
      open(file)
        .encode('1234')
        .map((id) => tokens[id]),
    ).toEqual(expected)
  })

  it('keeps a piece that is a token, if the pre-tokenizer says so', () => {
    expect(
      pieces(' an', { 'tokenizer.ggml.merges': ['Ġ a'], 'tokenizer.ggml.pre': 'llama-bpe' }),
    ).toEqual(['Ġan'])
    expect(pieces(' an', { 'tokenizer.ggml.merges': ['Ġ a'] })).toEqual(['Ġa', 'n'])
  })

  it.each([
    [
      'a pre-tokenizer that is not known',
      { 'tokenizer.ggml.pre': 'martian' },
      UnsupportedError,
      /"martian".*smollm/,
    ],
    [
      'a tokenizer model that is not known',
      { 'tokenizer.ggml.model': 'rwkv' },
      UnsupportedError,
      /"rwkv".*gpt2, llama/,
    ],
    [
      'types that do not fit the tokens',
      { 'tokenizer.ggml.token_type': [1, 1] },
      FormatError,
      /got 2 entries, expected 102/,
    ],
    ['a merge without a space', { 'tokenizer.ggml.merges': ['ab'] }, FormatError, /"ab"/],
    [
      'a special token beyond the vocabulary',
      { 'tokenizer.ggml.eos_token_id': 5_000 },
      FormatError,
      /eos_token_id: got 5000/,
    ],
    [
      'tokens that are no strings',
      { 'tokenizer.ggml.tokens': [1, 2] },
      FormatError,
      /tokenizer\.ggml\.tokens.*a list of strings/,
    ],
  ])('is refused with %s', (_, changes, error, message) => {
    expect(() => convertGgufTokenizer(metadata(changes))).toThrow(error)
    expect(() => convertGgufTokenizer(metadata(changes))).toThrow(message)
  })

  it('is refused where there is no tokenizer at all', () => {
    expect(() => convertGgufTokenizer(new Map())).toThrow(FormatError)
  })
})
