// A text as words, and each word as numbers of buckets: the hashes of the word and of the pieces of
// 3 to 5 letters in it (Bojanowski et al. 2017, arXiv:1607.04606). Needs no vocabulary: an unknown
// word shares pieces with known ones, in every script.

export interface WordOptions {
  /** Rows of the table of vectors that the hashes are spread over. */
  readonly buckets: number
  /** Words that are read: the first ones. */
  readonly maxWords: number
}

const wordAt = /[\p{L}\p{M}]+|\p{N}|[^\s\p{L}\p{N}\p{M}]/gu
const longestWord = 24 // letters that are cut into pieces
const shortestPiece = 3
const longestPiece = 5

/**
 * FNV-1a over the UTF-16 code units from `start` to `end`, its high bits mixed into the low ones.
 */
function hashPiece(text: string, start: number, end: number): number {
  let hash = 0x811c9dc5
  for (let i = start; i < end; i++) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193)
  hash = Math.imul(hash ^ (hash >>> 15), 0x85ebca6b)
  return (hash ^ (hash >>> 13)) >>> 0
}

/** The first words of a text in lower case: runs of letters, single digits, single other signs. */
export function listWords(text: string, maxWords: number): string[] {
  // Enough for the words that are read, so that a text of any length costs the same.
  const start = text
    .slice(0, maxWords * longestWord)
    .normalize('NFKC')
    .toLowerCase()
  const words: string[] = []
  for (const [word] of start.matchAll(wordAt)) {
    words.push(word)
    if (words.length === maxWords) break
  }
  return words
}

/** Buckets of one word: of itself first, then of its pieces; each once. */
export function listBuckets(word: string, buckets: number): Int32Array {
  const marked = `<${word.slice(0, longestWord)}>`
  const found = new Set([hashPiece(marked, 0, marked.length) % buckets])
  for (let length = shortestPiece; length <= Math.min(longestPiece, marked.length - 1); length++)
    for (let at = 0; at + length <= marked.length; at++)
      found.add(hashPiece(marked, at, at + length) % buckets)
  return Int32Array.from(found)
}

/** Turns texts into buckets of words, and caches the buckets of each word. */
export function createWordReader({ buckets, maxWords }: WordOptions) {
  const known = new Map<string, Int32Array>()
  const most = 20_000 // words that are kept: about 2 MB
  return (text: string): readonly Int32Array[] =>
    listWords(text, maxWords).map((word) => {
      const earlier = known.get(word)
      if (earlier) return earlier
      const made = listBuckets(word, buckets)
      if (known.size === most) known.clear()
      known.set(word, made)
      return made
    })
}

export type WordReader = ReturnType<typeof createWordReader>
