// An adapter's scores, as text in the header of its tensor file.

import type { AdapterMetadata } from '../../adapters/adapter.ts'

/** The metadata's key for scores, as JSON: {"validation_loss":0.123}. */
export const scoresKey = 'graft_scores'

export type AdapterScores = Readonly<Record<string, number>>

export const toScoresMetadata = (scores: AdapterScores): Record<string, string> => ({
  [scoresKey]: JSON.stringify(scores),
})

/** The scores of an adapter; undefined if it has none that can be read. */
export function readScores(metadata: AdapterMetadata = {}): AdapterScores | undefined {
  const text = metadata[scoresKey]
  if (text === undefined) return undefined
  try {
    return JSON.parse(text) as AdapterScores
  } catch {
    return undefined
  }
}
