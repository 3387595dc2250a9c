// A fingerprint of encoded data, because a resumed run must see the same tokens.

import type { EncodedSequence } from './encode.ts'

/** Name of the hash of a data set in an adapter's metadata. */
export const dataHashKey = 'data_sha256'

/** SHA-256 over lengths, ids and weights, in hexadecimal. */
export async function hashSequences(rows: readonly EncodedSequence[]): Promise<string> {
  const size = rows.reduce((sum, { ids }) => sum + 1 + 2 * ids.length, 0)
  const words = new Int32Array(size)
  const floats = new Float32Array(words.buffer)
  let at = 0
  for (const { ids, weights } of rows) {
    words[at++] = ids.length
    words.set(ids, at)
    floats.set(weights, at + ids.length)
    at += 2 * ids.length
  }
  // the ratings of judged and graded rows count too; other data keeps its hash
  const verdicts = rows.flatMap(({ isGood, reward, advantage }) => [
    ...(isGood === undefined ? [] : [Number(isGood)]),
    ...(reward === undefined
      ? []
      : [...new Int32Array(Float32Array.of(reward, advantage!).buffer)]),
  ])
  const hashed = new Int32Array(size + verdicts.length)
  hashed.set(words)
  hashed.set(verdicts, size)
  const digest = new Uint8Array(await crypto.subtle.digest('SHA-256', hashed))
  return Array.from(digest, (byte) => byte.toString(16).padStart(2, '0')).join('')
}
