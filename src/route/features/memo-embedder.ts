// An embedder that keeps the vectors of recent texts: routers within a router read the same prompt,
// and training reads the same examples twice.

import type { TextEmbedder } from '../router.ts'

/** Numbers that are kept: 64 MiB of them. */
const mostNumbers = 2 ** 24

/** The same embedder with a memory; the oldest vectors are forgotten first. */
export function createMemoEmbedder(embedder: TextEmbedder, most = mostNumbers): TextEmbedder {
  const known = new Map<string, Float32Array>()
  const capacity = Math.max(16, Math.floor(most / embedder.width))
  return {
    settings: embedder.settings,
    sha256: embedder.sha256,
    width: embedder.width,
    parts: embedder.parts,
    async embed(texts, signal) {
      const missing = [...new Set(texts.filter((text) => !known.has(text)))]
      const made = missing.length > 0 ? await embedder.embed(missing, signal) : []
      const fresh = new Map(missing.map((text, i) => [text, made[i]!]))
      const vectors = texts.map((text) => fresh.get(text) ?? known.get(text)!)
      for (const [text, vector] of fresh) {
        if (known.size >= capacity) known.delete(known.keys().next().value!)
        known.set(text, vector)
      }
      return vectors
    },
  }
}
