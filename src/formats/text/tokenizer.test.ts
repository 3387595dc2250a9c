import { readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { FormatError, UnsupportedError } from '../../base/errors.ts'
import { createTextStream } from './text-stream.ts'
import { findChatTemplate, renderChat } from './chat-template.ts'
import { completeTokenizerConfig, createTokenizer, listSpecialTokens } from './tokenizer.ts'

interface Golden {
  strings: string[]
  cases: {
    name: string
    components: object
    encoded: number[][]
    with_special: number[][]
    ids: number[][]
    decoded: string[]
    without_special: string[]
  }[]
}

const read = (path: string): unknown =>
  JSON.parse(readFileSync(new URL(path, import.meta.url), 'utf8'))
const golden = read('../../../test/golden/tokenizers/fixtures.json') as Golden
const stories = read('../../catalogue/models/stories260k/tokenizer.json') as object
const storiesConfig = read('../../catalogue/models/stories260k/tokenizer_config.json') as object

const streamed = (
  tokenizer: Parameters<typeof createTextStream>[0],
  ids: readonly number[],
  options = {},
): string[] => {
  const stream = createTextStream(tokenizer, options)
  return [...ids.map((id) => stream.push(id)), stream.end()]
}

describe.each(golden.cases)(
  'a tokenizer with $name, compared with the Rust library',
  ({ components, encoded, with_special, ids, decoded, without_special }) => {
    const tokenizer = createTokenizer({ ...stories, ...components }, storiesConfig)

    it('encodes alike', () => {
      expect(golden.strings.map((text) => tokenizer.encode(text))).toEqual(encoded)
      expect(
        golden.strings.map((text) => tokenizer.encode(text, { addSpecialTokens: true })),
      ).toEqual(with_special)
    })

    it('decodes alike, broken UTF-8 too', () => {
      expect(ids.map((row) => tokenizer.decode(row))).toEqual(decoded)
      expect(ids.map((row) => tokenizer.decode(row, { skipSpecialTokens: true }))).toEqual(
        without_special,
      )
    })

    it('streams what it decodes', () => {
      for (const skipSpecialTokens of [false, true]) {
        for (const row of [...ids, ...encoded])
          expect(streamed(tokenizer, row, { skipSpecialTokens }).join('')).toBe(
            tokenizer.decode(row, { skipSpecialTokens }),
          )
      }
    })
  },
)

describe('a tokenizer', () => {
  const tokenizer = createTokenizer(stories, storiesConfig)

  it('knows its size and its special tokens', () => {
    expect(tokenizer.vocabularySize).toBe(512)
    expect([tokenizer.bosId, tokenizer.eosId, tokenizer.padId]).toEqual([1, 2, undefined])
    expect([tokenizer.tokenId('</s>'), tokenizer.tokenId('no such token')]).toEqual([2, undefined])
  })

  it('takes a special token that the config gives as an object', () => {
    expect(createTokenizer(stories, { pad_token: { content: '<unk>', lstrip: false } }).padId).toBe(
      0,
    )
  })

  it('decodes nothing to nothing and leaves out ids beyond the vocabulary', () => {
    expect(tokenizer.decode([])).toBe('')
    expect(tokenizer.decode([1, 9_999], { skipSpecialTokens: true })).toBe('')
    expect(tokenizer.decode([9_999, ...tokenizer.encode('time')])).toBe('time')
  })

  it('never eats the spaces before punctuation of a BPE text', () => {
    const eager = createTokenizer(stories, { ...storiesConfig, clean_up_tokenization_spaces: true })
    expect(eager.decode(eager.encode("a . do n't"))).toBe("a . do n't")
  })

  it('refuses what is not a tokenizer.json, and a Split behaviour that is not known', () => {
    expect(() => createTokenizer({ vocab: {} }, {})).toThrow(FormatError)
    const strange = { type: 'Split', pattern: { String: 'a' }, behavior: 'Sideways', invert: false }
    expect(() => createTokenizer({ ...stories, pre_tokenizer: strange }, {})).toThrow(
      UnsupportedError,
    )
  })
})

describe('a text stream', () => {
  const tokenizer = createTokenizer(stories, storiesConfig)

  it('gives no half character, and every space', () => {
    const deltas = streamed(tokenizer, tokenizer.encode('a 🙂 b  c'))
    expect(deltas.join('')).toBe('a 🙂 b  c')
    expect(deltas.filter((delta) => delta.includes('\ufffd'))).toEqual([])
    expect(deltas.filter((delta) => delta.includes('🙂'))).toHaveLength(1)
  })

  it('gives the words as they come, not only at the end', () => {
    expect(
      streamed(tokenizer, tokenizer.encode('Once upon a time there was')).filter(
        (delta) => delta !== '',
      ).length,
    ).toBeGreaterThan(4)
  })

  it('gives broken bytes at the end', () => {
    expect(streamed(tokenizer, [tokenizer.tokenId('<0xF0>')!])).toEqual(['', '\ufffd'])
  })

  it('decodes only the last few ids again, however long the text', () => {
    let longest = 0
    const stream = createTextStream({
      decode: (ids) => ((longest = Math.max(longest, ids.length)), tokenizer.decode(ids)),
    })
    for (const id of Array.from({ length: 50 }, () => tokenizer.encode('one time')).flat())
      stream.push(id)
    expect(longest).toBeLessThan(8)
  })
})

describe('special tokens in a template, compared with transformers', () => {
  const cases = read('../../../test/parity/special-tokens/cases.json') as {
    name: string
    files: Record<'tokenizer_config.json' | 'special_tokens_map.json', object | undefined>
    text: string
  }[]
  it.each(cases)('$name', ({ files, text }) => {
    const config = completeTokenizerConfig(
      files['tokenizer_config.json']!,
      files['special_tokens_map.json'],
    )
    const specialTokens = listSpecialTokens(createTokenizer(stories, config))
    const template = findChatTemplate(config)
    expect(renderChat(template, [{ role: 'user', content: 'a' }], { specialTokens })).toBe(text)
  })
})

describe('special tokens that stay in the text', () => {
  const added = ['<call>', '</call>', '<end>'].map((content, i) => ({
    id: 512 + i,
    content,
    special: true,
    single_word: false,
    lstrip: false,
    rstrip: false,
    normalized: false,
  }))
  const { added_tokens: known = [] } = stories as { added_tokens?: object[] }
  const tokenizer = createTokenizer(
    { ...stories, added_tokens: [...known, ...added] },
    storiesConfig,
  )

  it('others are left out, also between the bytes of one character', () => {
    const [open, close, end] = ['<call>', '</call>', '<end>'].map((one) => tokenizer.tokenId(one)!)
    const bytes = ['<0xF0>', '<0x9F>', '<0x98>', '<0x80>'].map((one) => tokenizer.tokenId(one)!)
    const words = tokenizer.encode('one time')
    const ids = [...words, open!, ...words, close!, ...bytes.slice(0, 2), end!, ...bytes.slice(2)]
    const keptIds = new Set([open!, close!])
    const text = streamed(tokenizer, ids, { skipSpecialTokens: true, keptIds }).join('')
    expect(text.replaceAll(' ', '')).toBe('onetime<call>onetime</call>😀')
    expect(streamed(tokenizer, ids, { skipSpecialTokens: true }).join('')).toBe(
      tokenizer.decode(ids, { skipSpecialTokens: true }),
    )
  })
})
