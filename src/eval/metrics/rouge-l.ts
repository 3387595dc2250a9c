// ROUGE-L: F1 over the longest common subsequence of words. Lin 2004,
// https://aclanthology.org/W04-1013; words as the rouge-score package has them.

import type { Metric } from '../metric.ts'

const splitWords = (text: string): string[] => text.toLowerCase().match(/[a-z0-9]+/g) ?? []

/** Length of the longest common subsequence; time a·b, memory b. */
function computeCommonLength(a: readonly string[], b: readonly string[]): number {
  let above = new Uint32Array(b.length + 1)
  for (const word of a) {
    const row = new Uint32Array(b.length + 1)
    for (let j = 1; j <= b.length; j++)
      row[j] = word === b[j - 1] ? above[j - 1]! + 1 : Math.max(above[j]!, row[j - 1]!)
    above = row
  }
  return above[b.length]!
}

/** 2·LCS / (words of both); 0 where either has none. */
export function computeRougeL(answer: string, wanted: string): number {
  const found = splitWords(answer)
  const right = splitWords(wanted)
  if (found.length === 0 || right.length === 0) return 0
  return (2 * computeCommonLength(found, right)) / (found.length + right.length)
}

export const rougeL: Metric = {
  name: 'rouge-l',
  about: 'F1 over the longest common subsequence of words',
  needs: 'answers',
  kind: 'mean',
  better: 'higher',
  score: ({ answer, wanted }) => ({ value: computeRougeL(answer, wanted) }),
}
