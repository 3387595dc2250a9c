// A tokenizer's tokens as bytes, for the masks: one vocabulary for each tokenizer, number of logits
// and choice of special tokens that are written.

import { UnsupportedError } from '../../base/errors.ts'
import type { Tokenizer } from '../../formats/text/tokenizer.ts'

export interface Vocabulary {
  /** Equal for equal vocabularies of one tokenizer; no two tokenizers share one. */
  readonly key: string
  /** How many logits there are. */
  readonly size: number
  /** The bytes of each token by id; a token without bytes never occurs in the text. */
  readonly tokens: readonly Uint8Array[]
}

const known = new WeakMap<Tokenizer, Map<string, Vocabulary>>()
let count = 0
const NONE = new Uint8Array()

/**
 * The vocabulary of a tokenizer. `keptIds`: special tokens that may occur in the text; the others
 * may not. Throws UnsupportedError for a tokenizer that cannot give the bytes of its tokens.
 */
export function getVocabulary(
  tokenizer: Tokenizer | undefined,
  size: number,
  keptIds: readonly number[],
): Vocabulary {
  if (!tokenizer?.listPieces)
    throw new UnsupportedError(
      tokenizer
        ? 'The option grammar: this tokenizer does not give the bytes of its tokens (a WordPiece decoder, or your own tokenizer without listPieces).'
        : 'The option grammar: the model has no tokenizer, so its tokens have no text.',
    )
  const own = known.get(tokenizer) ?? new Map<string, Vocabulary>()
  known.set(tokenizer, own)
  const form = [size, ...[...keptIds].sort((a, b) => a - b)].join()
  const before = own.get(form)
  if (before) return before
  const kept = new Set(keptIds)
  const pieces = tokenizer.listPieces()
  const tokens = Array.from({ length: size }, (_, id) => {
    const piece = pieces[id]
    return piece && (!piece.isSpecial || kept.has(id)) ? piece.bytes : NONE
  })
  const made = { key: `${count++}`, size, tokens }
  own.set(form, made)
  return made
}
