// The text and the bytes of single tokens for log-probabilities: a token's text within an answer.

import type { Tokenizer } from '../../formats/text/tokenizer.ts'
import type { TokenLogprob } from '../../runtime/decode/logprobs.ts'
import type { ShownToken, TokenReport } from '../service.ts'

export interface TokenTexts {
  describe(id: number): ShownToken
  report(token: TokenLogprob): TokenReport
}

const textsOf = new WeakMap<Tokenizer, TokenTexts>()

/** Cached for each tokenizer, for the tokens that were asked for. */
export function getTokenTexts(tokenizer: Tokenizer): TokenTexts {
  const known = textsOf.get(tokenizer)
  if (known) return known
  const made = createTokenTexts(tokenizer)
  textsOf.set(tokenizer, made)
  return made
}

function createTokenTexts(tokenizer: Tokenizer): TokenTexts {
  const pieces = tokenizer.listPieces?.()
  const shown = new Map<number, ShownToken>()
  const read = (id: number): ShownToken => {
    const bytes = pieces?.[id]?.bytes
    if (!bytes) return { id, text: tokenizer.decode([id]), bytes: null }
    return { id, text: decodeBytes(bytes), bytes: [...bytes] }
  }
  const describe = (id: number): ShownToken => {
    const known = shown.get(id)
    if (known) return known
    const made = read(id)
    shown.set(id, made)
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

const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

/** Part of a character is written as its bytes, as OpenAI does: `bytes:\\xe2\\x82`. */
function decodeBytes(bytes: Uint8Array): string {
  try {
    return decoder.decode(bytes)
  } catch {
    const codes = [...bytes].map((byte) => `\\x${byte.toString(16).padStart(2, '0')}`)
    return `bytes:${codes.join('')}`
  }
}
