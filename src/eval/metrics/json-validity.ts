// The answer is JSON.

import { parseJson } from '../json.ts'
import { type Metric, scoreBinary } from '../metric.ts'

export const jsonValidity: Metric = {
  name: 'json-validity',
  about: 'the answer is JSON',
  needs: 'answers',
  kind: 'share',
  better: 'higher',
  score: ({ answer }) => scoreBinary(parseJson(answer) !== undefined),
}
