// The contract of a drafter: it proposes tokens before the model has computed them. A proposal does
// not change the answer: the model computes its tokens in one call and keeps those that it would
// have chosen.

export interface Drafter {
  readonly name: string
  /**
   * At most `most` tokens that may follow `tokens` (prompt and answer), in the order of the text;
   * empty if it has no proposal. It is called often, so it must take only a fraction of a token's
   * time.
   */
  propose(tokens: readonly number[], most: number): readonly number[]
}
