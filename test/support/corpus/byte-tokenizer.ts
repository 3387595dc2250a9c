// A tokenizer of single bytes with the special tokens of the corpus's chat template, for Graft and
// for the Python library alike.

import { createTokenizer, type Tokenizer } from '../../../src/formats/text/tokenizer.ts'

const specials = ['<|pad|>', '<|im_start|>', '<|im_end|>', '<|tools|>']

/** GPT-2's character of each byte: printable ones stand for themselves. */
function listByteCharacters(): string[] {
  let next = 256
  return Array.from({ length: 256 }, (_, byte) => {
    const isPrintable = (byte >= 33 && byte <= 126) || (byte >= 161 && byte <= 172) || byte >= 174
    return String.fromCodePoint(isPrintable ? byte : next++)
  })
}

const byteLevel = {
  type: 'ByteLevel',
  add_prefix_space: false,
  trim_offsets: true,
  use_regex: false,
}

/** As tokenizer.json has it. */
export const byteTokenizerJson: object = {
  version: '1.0',
  truncation: null,
  padding: null,
  added_tokens: specials.map((content, id) => ({
    ...{ id, content, single_word: false, lstrip: false, rstrip: false },
    ...{ normalized: false, special: true },
  })),
  normalizer: null,
  pre_tokenizer: byteLevel,
  post_processor: null,
  decoder: byteLevel,
  model: {
    type: 'BPE',
    dropout: null,
    unk_token: null,
    continuing_subword_prefix: null,
    end_of_word_suffix: null,
    fuse_unk: false,
    byte_fallback: false,
    vocab: Object.fromEntries(
      [...specials, ...listByteCharacters()].map((token, id) => [token, id]),
    ),
    merges: [],
  },
}

/** `<|im_end|>` ends a text, and nothing begins it. */
export const createByteTokenizer = (): Tokenizer =>
  createTokenizer(byteTokenizerJson, { eos_token: '<|im_end|>', pad_token: '<|pad|>' })
