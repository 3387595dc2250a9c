// The words of a prompt as numbers: words, pairs of neighbours and parts of words, each hashed to a
// place and a sign (Weinberger et al. 2009). Keeps details that a model's states lose, such as a
// rare name.

import { listWords, shortenPrompt } from './terms.ts'

const shortestPart = 3
const longestPart = 5

/** FNV-1a over UTF-16 code units. */
function hashText(text: string): number {
  let hash = 0x811c9dc5
  for (let i = 0; i < text.length; i++) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193)
  hash ^= hash >>> 15
  return Math.imul(hash, 0x2c1b3c6d) >>> 0
}

function collectParts(words: readonly string[]): Set<string> {
  const parts = new Set<string>()
  words.forEach((word, i) => {
    parts.add(` ${word}`)
    if (i > 0) parts.add(` ${words[i - 1]} ${word}`)
    const edged = `<${word}>`
    for (let length = shortestPart; length <= longestPart; length++)
      for (let at = 0; at + length <= edged.length; at++) parts.add(edged.slice(at, at + length))
  })
  return parts
}

/** Each part once, a vector of `buckets` numbers and of length 1. */
export function hashTerms(text: string, buckets: number): Float32Array {
  const out = new Float32Array(buckets)
  for (const part of collectParts(listWords(shortenPrompt(text)))) {
    const hash = hashText(part)
    out[hash % buckets]! += hash & 0x40000000 ? 1 : -1
  }
  let sum = 0
  for (const value of out) sum += value * value
  const scale = sum > 0 ? 1 / Math.sqrt(sum) : 0
  for (let i = 0; i < buckets; i++) out[i]! *= scale
  return out
}
