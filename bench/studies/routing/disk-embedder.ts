// An embedder that keeps its vectors in a file: measurements of heads then cost no model.

import { appendFileSync, existsSync, mkdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { computeSha256, toHex } from '../../../src/base/sha256.ts'
import type { TextEmbedder } from '../../../src/route/router.ts'

const hashBytes = 32
const batch = 256

/**
 * Records of a text's hash and its vector in 16-bit floats; truncated records are computed again.
 */
function readVectors(path: string, width: number): Map<string, Float32Array> {
  const known = new Map<string, Float32Array>()
  if (!existsSync(path)) return known
  const bytes = readFileSync(path)
  const size = hashBytes + 2 * width
  for (let at = 0; at + size <= bytes.length; at += size) {
    const numbers = bytes.buffer.slice(
      bytes.byteOffset + at + hashBytes,
      bytes.byteOffset + at + size,
    )
    known.set(
      toHex(bytes.subarray(at, at + hashBytes)),
      Float32Array.from(new Float16Array(numbers as ArrayBuffer)),
    )
  }
  return known
}

export async function createDiskEmbedder(
  embedder: TextEmbedder,
  folder: string,
  onProgress: (done: number, of: number) => void,
): Promise<TextEmbedder> {
  const { settings, sha256, width, parts } = embedder
  const hash = async (text: string): Promise<Uint8Array> =>
    computeSha256(new TextEncoder().encode(text))
  mkdirSync(folder, { recursive: true })
  const name = toHex(await hash(JSON.stringify([sha256, settings]))).slice(0, 16)
  const path = join(folder, `${name}.vectors`)
  const known = readVectors(path, width)
  return {
    settings,
    sha256,
    width,
    parts,
    async embed(texts, signal) {
      const hashes = await Promise.all(texts.map(hash))
      const keys = hashes.map(toHex)
      const missing = texts.map((_, i) => i).filter((i) => !known.has(keys[i]!))
      for (let at = 0; at < missing.length; at += batch) {
        const part = missing.slice(at, at + batch)
        const made = await embedder.embed(
          part.map((i) => texts[i]!),
          signal,
        )
        part.forEach((i, n) => {
          const half = Float16Array.from(made[n]!)
          appendFileSync(path, Buffer.concat([hashes[i]!, new Uint8Array(half.buffer)]))
          known.set(keys[i]!, Float32Array.from(half))
        })
        onProgress(at + part.length, missing.length)
      }
      return keys.map((key) => known.get(key)!)
    },
  }
}
