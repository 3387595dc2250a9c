// Assigns the tokens of a text to its pieces. Independent of training.

import { OptionError } from '../../base/errors.ts'
import type { Tokenizer } from '../../formats/text/tokenizer.ts'

/** Part of a row's text, learned or only read. */
export interface TextSpan {
  readonly text: string
  readonly scored: boolean
}

export interface ScoredTokens {
  readonly ids: number[]
  /** Whether a token is a label. */
  readonly scored: boolean[]
}

function countCommonPrefix(a: readonly number[], b: readonly number[]): number {
  let length = 0
  while (length < a.length && length < b.length && a[length] === b[length]) length++
  return length
}

/**
 * The index of the token with which each piece but the first begins, and whether every piece begins
 * at a token boundary.
 */
function locateBoundaries(
  pieces: readonly TextSpan[],
  ids: readonly number[],
  tokenizer: Tokenizer,
): { starts: number[]; exact: boolean } {
  let text = ''
  let exact = true
  const starts = pieces.slice(0, -1).map((piece) => {
    text += piece.text
    const before = tokenizer.encode(text)
    const start = countCommonPrefix(before, ids)
    exact &&= start === before.length
    return start
  })
  return { starts, exact }
}

/**
 * Tokens of the pieces in a row. If no token crosses a boundary, these are the tokens of the whole
 * text. Otherwise each piece is encoded alone, which equals generating after a prompt. If a
 * tokenizer cannot do that, because it adds a space before every text, the token that crosses a
 * boundary is kept and belongs to the later piece.
 */
export function encodeSpans(pieces: readonly TextSpan[], tokenizer: Tokenizer): ScoredTokens {
  const ids = tokenizer.encode(pieces.map(({ text }) => text).join(''))
  const { starts, exact } = locateBoundaries(pieces, ids, tokenizer)
  if (!exact) {
    const parts = pieces.map(({ text }) => tokenizer.encode(text))
    const joined = parts.flat()
    if (tokenizer.decode(joined) === tokenizer.decode(ids)) {
      return { ids: joined, scored: parts.flatMap((part, i) => part.map(() => pieces[i]!.scored)) }
    }
  }
  const scored = ids.map(
    (_, token) => pieces[starts.filter((start) => start <= token).length]!.scored,
  )
  return { ids, scored }
}

/** Whether a token is a special one, such as the end of a turn. */
const isSpecial = (id: number, tokenizer: Tokenizer): boolean =>
  tokenizer.decode([id], { skipSpecialTokens: true }) === '' && tokenizer.decode([id]) !== ''

/**
 * Excludes white space after an end-of-turn token from the labels: templates write a line break
 * there, but generation has ended by then.
 */
export function unscoreTurnEnds({ ids, scored }: ScoredTokens, tokenizer: Tokenizer): void {
  for (let end = ids.length; end > 0; end--) {
    if (!scored[end - 1] || scored[end]) continue
    let last = end - 1
    while (
      scored[last] &&
      !isSpecial(ids[last]!, tokenizer) &&
      tokenizer.decode([ids[last]!]).trim() === ''
    )
      last--
    if (last === end - 1 || !scored[last] || !isSpecial(ids[last]!, tokenizer)) continue
    scored.fill(false, last + 1, end)
  }
}

/**
 * Throws OptionError if the labels of a turn are only special tokens and white space, because they
 * would teach empty answers.
 */
export function checkTurnsShown({ ids, scored }: ScoredTokens, tokenizer: Tokenizer): void {
  for (let start = 0; start < ids.length; start++) {
    if (!scored[start] || scored[start - 1]) continue
    let end = start
    while (scored[end]) end++
    const run = ids.slice(start, end)
    if (tokenizer.decode(run, { skipSpecialTokens: true }).trim() === '')
      throw new OptionError(
        "The chat template shows nothing of an assistant's turn (does it show tool calls?), so there is nothing to learn from it.",
      )
  }
}
