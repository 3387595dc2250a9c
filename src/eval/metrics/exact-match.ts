// The answer is the row's, white space at both ends apart.

import { type Metric, scoreBinary } from '../metric.ts'

export const exactMatch: Metric = {
  name: 'exact-match',
  about: "the answer is the row's, white space at the ends apart",
  needs: 'answers',
  kind: 'share',
  better: 'higher',
  score: ({ answer, wanted }) => scoreBinary(answer.trim() === wanted.trim()),
}
