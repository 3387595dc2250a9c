// Token ids one at a time → text that will not change any more. Independent of how the ids come
// about.

import type { Tokenizer } from './tokenizer.ts'

export interface TextStream {
  /**
   * Takes one id; returns the text that is final now, often one word, '' in the middle of a
   * character.
   */
  push(id: number): string
  /** The rest, when no id follows. */
  end(): string
}

export interface TextStreamOptions {
  readonly skipSpecialTokens?: boolean
  /** Special tokens that stay in the text where others are skipped. */
  readonly keptIds?: ReadonlySet<number>
}

/** A test for tokens that are left out, asked of the tokenizer once for each id. */
function createSkipTest(
  { decode }: Pick<Tokenizer, 'decode'>,
  keptIds: ReadonlySet<number>,
): (id: number) => boolean {
  const known = new Map<number, boolean>()
  return (id) => {
    const found =
      known.get(id) ??
      (!keptIds.has(id) &&
        decode([id], { skipSpecialTokens: true }) === '' &&
        decode([id], { skipSpecialTokens: false }) !== '')
    known.set(id, found)
    return found
  }
}

// ids held back before broken text is looked at only every 16th time: garbage must not cost O(T²)
const patience = 64

/**
 * An incremental decoder: all deltas and `end()` joined are `decode` of all ids. Text is held back
 * while it ends in U+FFFD, which may be the first bytes of a character, and within a run of byte
 * tokens, which decode only as a whole. Only the ids since the last but one delta are decoded
 * again, so a push costs the same at any length of text.
 */
export function createTextStream(
  tokenizer: Pick<Tokenizer, 'decode' | 'isByteToken'>,
  { skipSpecialTokens = false, keptIds = new Set() }: TextStreamOptions = {},
): TextStream {
  // Where some special tokens stay, the others are left out before they are decoded.
  const selects = skipSpecialTokens && keptIds.size > 0
  const isSkipped = selects ? createSkipTest(tokenizer, keptIds) : () => false
  const options = { skipSpecialTokens: skipSpecialTokens && !selects }
  let ids: number[] = [] // context, whose text is out already, then what is held back
  let settled = 0 // length of the context
  let context = '' // its text
  let inByteRun = false
  const take = (last: boolean): string => {
    const text = tokenizer.decode(ids, options)
    if (!last && (text.endsWith('\ufffd') || !text.startsWith(context))) return ''
    const delta = text.slice(context.length)
    // The context starts where an earlier delta started: between characters. Without text it could
    // not protect a leading space.
    if (delta !== '') ids = ids.slice(settled)
    settled = ids.length
    context = delta === '' ? text : tokenizer.decode(ids, options)
    return delta
  }
  return {
    push: (id) => {
      if (isSkipped(id)) return ''
      ids.push(id)
      const held = ids.length - settled
      // A special token that is left out of the text does not end a run of bytes.
      inByteRun =
        tokenizer.isByteToken?.(id) || (inByteRun && tokenizer.decode([id], options) === '')
      if (inByteRun || (held > patience && held % 16 !== 0)) return ''
      return take(false)
    },
    end: () => take(true),
  }
}
