// The text and the bytes of single tokens, as log-probabilities show them. The text of a token is
// what it adds behind another one, because some tokenizers leave a blank at a text's beginning out.

import type { Tokenizer } from '../../formats/text/tokenizer.ts'
import type { TokenLogprob } from '../../runtime/decode/logprobs.ts'
import type { TokenPiece, TokenReport } from '../service.ts'

export interface TokenTexts {
  describe(id: number): TokenPiece
  report(token: TokenLogprob): TokenReport
}

const textsOf = new WeakMap<Tokenizer, TokenTexts>()

/** Kept for each tokenizer, with the tokens that were asked for. */
export function getTokenTexts(tokenizer: Tokenizer): TokenTexts {
  const known = textsOf.get(tokenizer)
  if (known) return known
  const made = createTokenTexts(tokenizer)
  textsOf.set(tokenizer, made)
  return made
}

function createTokenTexts(tokenizer: Tokenizer): TokenTexts {
  const pieces = new Map<number, TokenPiece>()
  const before = tokenizer.encode('a').at(-1)
  const front = before === undefined ? '' : tokenizer.decode([before])
  const encoder = new TextEncoder()
  const read = (id: number): TokenPiece => {
    const alone = tokenizer.decode([id])
    const behind = before === undefined ? alone : tokenizer.decode([before, id])
    const text = behind.startsWith(front) ? behind.slice(front.length) : alone
    // Part of a character has no text of its own, so its bytes are not known from here.
    const bytes = text.includes('\u{FFFD}') ? null : [...encoder.encode(text)]
    return { id, text, bytes }
  }
  const describe = (id: number): TokenPiece => {
    const known = pieces.get(id)
    if (known) return known
    const made = read(id)
    pieces.set(id, made)
    return made
  }
  return {
    describe,
    report({ id, logprob, top }) {
      const scored = top.map((one) => ({ ...describe(one.id), logprob: one.logprob }))
      return { ...describe(id), logprob, top: scored }
    },
  }
}
