// Log-probabilities of tokens, from logits. Plain arithmetic in double precision; independent of
// sequences and of texts.

/** log Σ exp(logits), stable. */
export function logSumExp(logits: Float32Array): number {
  let top = -Infinity
  for (const logit of logits) if (logit > top) top = logit
  let total = 0
  for (const logit of logits) total += Math.exp(logit - top)
  return top + Math.log(total)
}

/** A token and its log-probability in nats. */
export interface RankedToken {
  readonly id: number
  readonly logprob: number
}

/** A token of a text, and those that were most likely in its place, the most likely first. */
export interface TokenLogprob extends RankedToken {
  readonly top: readonly RankedToken[]
}

/** log p of the token `id` by logits [V] of its place, and of the `count` most likely tokens. */
export function scoreToken(logits: Float32Array, id: number, count: number): TokenLogprob {
  const total = logSumExp(logits)
  const score = (token: number): RankedToken => ({ id: token, logprob: logits[token]! - total })
  return { ...score(id), top: selectTop(logits, count).map(score) }
}

/** Ids of the `count` largest logits in falling order, the lower id first on a tie. */
function selectTop(logits: Float32Array, count: number): number[] {
  const ids: number[] = []
  if (count === 0) return ids
  let least = -Infinity
  for (let id = 0; id < logits.length; id++) {
    const logit = logits[id]!
    if (ids.length === count && !(logit > least)) continue
    let at = ids.length
    while (at > 0 && logits[ids[at - 1]!]! < logit) at--
    ids.splice(at, 0, id)
    if (ids.length > count) ids.pop()
    least = logits[ids.at(-1)!]!
  }
  return ids
}
