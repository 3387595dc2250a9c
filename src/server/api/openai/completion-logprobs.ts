// Log-probabilities in the form of OpenAI's completions: parallel lists.

import type { ShownToken, TokenReport } from '../../service.ts'

type AnyToken = TokenReport | (ShownToken & { readonly logprob: null })

export interface CompletionLogprobs {
  readonly tokens: readonly string[]
  /** null: the first token of a prompt. */
  readonly token_logprobs: readonly (number | null)[]
  /** By text: the most likely tokens, and the token itself. */
  readonly top_logprobs: readonly (Readonly<Record<string, number>> | null)[]
  /** Characters before each token. */
  readonly text_offset: readonly number[]
}

/** Writes tokens in order; offsets continue from call to call. */
export function createLogprobWriter(
  alternatives: number,
): (tokens: readonly AnyToken[]) => CompletionLogprobs {
  let offset = 0
  return (tokens) => ({
    tokens: tokens.map(({ text }) => text),
    token_logprobs: tokens.map(({ logprob }) => logprob),
    top_logprobs: tokens.map((token) => toTop(token, alternatives)),
    text_offset: tokens.map(({ text }) => {
      const at = offset
      offset += text.length
      return at
    }),
  })
}

function toTop(token: AnyToken, alternatives: number): Record<string, number> | null {
  if (token.logprob === null) return null
  const top: Record<string, number> = {}
  for (const { text, logprob } of token.top.slice(0, alternatives)) top[text] ??= logprob
  top[token.text] ??= token.logprob
  return top
}
