// Log-probabilities in the forms of OpenAI's chat and of vLLM's prompts.

import type { ScoredToken, ShownToken, TokenReport } from '../../service.ts'

const toEntry = ({ text, bytes, logprob }: ScoredToken) => ({ token: text, logprob, bytes })

export const toLogprobContent = (token: TokenReport) => ({
  ...toEntry(token),
  top_logprobs: token.top.map(toEntry),
})

/** vLLM's form: the token itself and the most likely ones, by id, with their ranks. */
export function toPromptLogprobs(
  token: TokenReport | (ShownToken & { readonly logprob: null }),
): Record<string, object> | null {
  if (token.logprob === null) return null
  const ranked = token.top.map((one, i) => [one, i + 1] as const)
  const own = ranked.some(([{ id }]) => id === token.id) ? [] : [[token, undefined] as const]
  return Object.fromEntries(
    [...ranked, ...own].map(([one, rank]) => [
      String(one.id),
      { logprob: one.logprob, ...(rank && { rank }), decoded_token: one.text },
    ]),
  )
}
