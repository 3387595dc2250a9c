// Log-probabilities of a prompt's tokens, collected during prefill in pieces. Shared by the copies
// of a request. Independent of programs.

import { scoreToken, type TokenLogprob } from '../decode/logprobs.ts'

/** Bytes of logits that a piece whose tokens are all scored may take. */
const MOST_LOGIT_BYTES = 2 ** 26
const LEAST_PIECE = 32

export class PromptScores {
  /** One entry per token, up to the last one that is scored. */
  readonly tokens: (TokenLogprob | null)[] = [null]
  readonly #prompt: readonly number[]
  readonly #alternatives: number

  /** `prompt`: ids without virtual tokens. */
  constructor(prompt: readonly number[], alternatives: number) {
    this.#prompt = prompt
    this.#alternatives = alternatives
  }

  get isComplete(): boolean {
    return this.tokens.length === this.#prompt.length
  }

  /** Tokens of the prompt in [from, to) whose logits are needed: each scores the token after it. */
  listWanted(from: number, to: number): number[] {
    const first = Math.max(from, this.tokens.length - 1)
    const end = Math.min(to, this.#prompt.length - 1)
    return Array.from({ length: Math.max(0, end - first) }, (_, i) => first + i)
  }

  /** Logits [V] of the tokens that were wanted, in order. */
  take(rows: readonly Float32Array[]): void {
    for (const logits of rows) {
      const id = this.#prompt[this.tokens.length]!
      this.tokens.push(scoreToken(logits, id, this.#alternatives))
    }
  }
}

/** How many tokens a piece may have if every token needs logits: a multiple of 16. */
export const limitScoredPiece = (pieceTokens: number, vocabularySize: number): number => {
  const tokens = Math.floor(MOST_LOGIT_BYTES / (4 * vocabularySize) / 16) * 16
  return Math.min(pieceTokens, Math.max(LEAST_PIECE, tokens))
}
