// F1 over words, as SQuAD measures answers. Rajpurkar et al. 2016, arXiv:1606.05250,
// evaluate-v2.0.py.

import type { Metric } from '../metric.ts'

/** Lower case, without ASCII punctuation and English articles: the words that count. */
export const splitSquadWords = (text: string): string[] =>
  text
    .toLowerCase()
    .replaceAll(/[!-/:-@[-`{-~]/g, '')
    .replaceAll(/\b(a|an|the)\b/g, ' ')
    .split(/\s+/)
    .filter((word) => word !== '')

/** Words that both have, each as often as in the one that has it less often. */
function countSharedWords(a: readonly string[], b: readonly string[]): number {
  const counts = new Map<string, number>()
  for (const word of a) counts.set(word, (counts.get(word) ?? 0) + 1)
  let shared = 0
  for (const word of b) {
    const left = counts.get(word) ?? 0
    if (left > 0) shared++
    counts.set(word, left - 1)
  }
  return shared
}

/**
 * 2·precision·recall / (precision + recall) of the answer's words; 1 where neither text has any, 0
 * where one has none.
 */
export function computeTokenF1(answer: string, wanted: string): number {
  const found = splitSquadWords(answer)
  const right = splitSquadWords(wanted)
  if (found.length === 0 || right.length === 0) return found.length === right.length ? 1 : 0
  return (2 * countSharedWords(found, right)) / (found.length + right.length)
}

export const tokenF1: Metric = {
  name: 'token-f1',
  about: 'F1 over words, as SQuAD measures it: case, punctuation and articles apart',
  needs: 'answers',
  kind: 'mean',
  better: 'higher',
  score: ({ answer, wanted }) => ({ value: computeTokenF1(answer, wanted) }),
}
