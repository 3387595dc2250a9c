// Converts a user's history to tensors and counts in the header, and back. Independent of stores.

import { FormatError } from '../../base/errors.ts'
import { f32, type Tensor } from '../../base/tensor.ts'
import type { LearnedEntry, LearnedHistory } from './history.ts'
import type { UserHeader } from './user-header.ts'
import { decodeIds, encodeIds, tensorNames, type Tensors } from './user-tensors.ts'

/** Ids of all turns, and the vectors of their questions one after the other. */
export function encodeHistory({ entries }: LearnedHistory): (readonly [string, Tensor])[] {
  const tensors: (readonly [string, Tensor])[] = [[tensorNames.history, encodeIds(entries)]]
  const vectors = entries.flatMap(({ signal }) => signal?.queryEmbedding ?? [])
  if (vectors.length === 0) return tensors
  const width = vectors[0]!.length
  const data = new Float32Array(vectors.length * width)
  vectors.forEach((vector, i) => data.set(vector, i * width))
  return [...tensors, [tensorNames.historyQueries, f32([vectors.length, width], data)]]
}

/** Throws FormatError if tensors and header do not fit. A state without a history has none. */
export function decodeHistory(tensors: Tensors, { history, learned }: UserHeader): LearnedHistory {
  if (!history) return { starts: [], entries: [], dropped: learned }
  const { dropped, starts, entries } = history
  const turns = decodeIds(
    tensors.get(tensorNames.history),
    entries.map(([, length, promptTokens]) => [length, promptTokens] as const),
  )
  const vectors = tensors.get(tensorNames.historyQueries)
  const width = vectors?.shape[1] ?? 0
  let place = 0
  const takeVector = (): Float32Array => {
    const from = width * place++
    if (!(vectors?.data instanceof Float32Array) || from + width > vectors.data.length)
      throw new FormatError('The state lacks vectors of questions that its history counts.')
    return vectors.data.slice(from, from + width)
  }
  return {
    dropped,
    starts: [...starts],
    entries: entries.map(([number, , , loss, saved, replaced], i): LearnedEntry => {
      const { hasEmbedding, ...signal } = saved ?? {}
      const full = hasEmbedding ? { ...signal, queryEmbedding: takeVector() } : signal
      const entry = { number, loss: loss ?? undefined, signal: saved ? full : undefined }
      return Object.assign(entry, turns[i]!, replaced && { replaced })
    }),
  }
}
