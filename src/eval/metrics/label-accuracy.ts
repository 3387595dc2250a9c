// The answer names the row's label: case, white space and punctuation at the ends apart, and no
// other label before it.

import { findNearestName } from '../../base/suggest.ts'
import { type Metric, scoreBinary } from '../metric.ts'

const stripPunctuation = (text: string): string =>
  text.toLowerCase().replaceAll(/^[\s\p{P}]+|[\s\p{P}]+$/gu, '')

/**
 * The label that an answer gives: all of it, or its first line; undefined if that is none of the
 * labels.
 */
export function findLabel(answer: string, labels: readonly string[]): string | undefined {
  const byBare = new Map(labels.map((label) => [stripPunctuation(label), label]))
  return (
    byBare.get(stripPunctuation(answer)) ??
    byBare.get(stripPunctuation(answer.trim().split('\n')[0]!))
  )
}

/** What is wrong with an answer that should be one of the labels. */
export function findLabelProblem(wanted: string, labels: readonly string[]): string | undefined {
  if (labels.includes(wanted)) return undefined
  const meant = findNearestName(wanted, labels)
  return `${JSON.stringify(wanted)} is none of the labels ${labels.join(', ')}.${meant === undefined ? '' : ` Did you mean ${meant}?`}`
}

export const labelAccuracy: Metric = {
  name: 'label-accuracy',
  about: "the answer is the row's label; case and punctuation at the ends do not count",
  needs: 'answers',
  kind: 'share',
  better: 'higher',
  findProblem: ({ wanted, labels }) =>
    labels ? findLabelProblem(wanted.trim(), labels) : undefined,
  score: ({ answer, wanted, labels }) =>
    scoreBinary(findLabel(answer, labels ?? [wanted]) === wanted.trim()),
}
