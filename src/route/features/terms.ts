// Words and pairs of words of a prompt, as rules and learned terms count them. Independent of
// experts.

/** Characters that are read of a long prompt: the first half and the last. */
export const readCharacters = 8192

/** A prompt of any length as routers read it: its beginning and its end, in one Unicode form. */
export function shortenPrompt(text: string, most = readCharacters): string {
  const cut =
    text.length <= most ? text : `${text.slice(0, most / 2)}\n${text.slice(text.length - most / 2)}`
  return cut.normalize('NFKC')
}

/**
 * Lower-case words and signs. Of scripts without spaces between words (Chinese, Japanese, Thai)
 * every character is one.
 */
export function listWords(text: string): string[] {
  const found = text.toLowerCase().match(/[\p{L}\p{M}\p{N}_]+|[^\p{L}\p{M}\p{N}_\s]/gu) ?? []
  return found.flatMap((word) => (isUnspaced(word) ? Array.from(word) : [word]))
}

const isUnspaced = (word: string): boolean =>
  /[\p{Script=Han}\p{Script=Hiragana}\p{Script=Katakana}\p{Script=Thai}]/u.test(word)

/** Each word, and each run of up to `most` neighbours, once. */
export function collectTerms(words: readonly string[], most: number): Set<string> {
  const terms = new Set<string>()
  for (let i = 0; i < words.length; i++) {
    let run = words[i]!
    terms.add(run)
    for (let length = 2; length <= most && i + length <= words.length; length++) {
      run += ` ${words[i + length - 1]}`
      terms.add(run)
    }
  }
  return terms
}

/** A keyword as it is looked up: its words with single spaces. */
export const normalizeTerm = (term: string): string => listWords(term.normalize('NFKC')).join(' ')

/** Least words of which a repeated one makes a prompt suspicious. */
const leastWords = 24

/**
 * The word that fills more than half of a longer prompt: such a prompt is stuffed with it, and the
 * request cannot be recognised.
 */
export function findStuffedWord(words: readonly string[]): string | undefined {
  if (words.length < leastWords) return undefined
  const counts = new Map<string, number>()
  for (const word of words) {
    if (!/[\p{L}\p{N}]/u.test(word)) continue
    const count = (counts.get(word) ?? 0) + 1
    counts.set(word, count)
    if (count > words.length / 2) return word
  }
  return undefined
}
