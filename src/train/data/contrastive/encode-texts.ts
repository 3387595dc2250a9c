// Encodes texts to be embedded as `model.embed` does, and appends one token, so that every token's
// state precedes a label and therefore reaches the loss.

import { DataError, OptionError } from '../../../base/errors.ts'
import type { Tokenizer } from '../../../formats/text/tokenizer.ts'
import type { ContrastiveExample, Example } from '../data-format.ts'
import type { ScoredTokens } from '../spans.ts'

/** How many rows one example becomes, the same for all examples of a data set. */
export function countTogether(examples: readonly { readonly example: Example }[]): number {
  const kinds = new Set(examples.map(({ example }) => example.kind))
  if (kinds.has('pair') || kinds.has('judged')) return 2
  const first = examples[0]?.example
  return first?.kind === 'contrastive' ? first.negatives.length + 2 : 1
}

interface TextOptions {
  readonly tokenizer: Tokenizer
  readonly system?: string
}

/** Earlier tokens do not attend to the last one, so it may be any token of the vocabulary. */
function encodeText(text: string, { tokenizer }: TextOptions): ScoredTokens {
  const ids = tokenizer.encode(text, { addSpecialTokens: true })
  return {
    ids: [...ids, tokenizer.eosId ?? tokenizer.bosId ?? ids[0]!],
    scored: [false, ...ids.map(() => true)],
  }
}

/**
 * For each positive a group of `size`: the anchor, the positive, the negatives. Throws DataError
 * for a row with more or fewer negatives than the first one, OptionError for a system message.
 */
export function encodeTexts(
  { anchor, positives, negatives }: ContrastiveExample,
  options: TextOptions,
  size: number,
): ScoredTokens[] {
  if (options.system !== undefined)
    throw new OptionError('texts that are embedded have no system message; leave "system" out.')
  if (negatives.length !== size - 2)
    throw new DataError(
      `has ${negatives.length} negatives, the first row ${size - 2}; give every row as many`,
    )
  return positives.flatMap((positive) =>
    [anchor, positive, ...negatives].map((text) => encodeText(text, options)),
  )
}
