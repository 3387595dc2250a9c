// The answer is JSON.

import { parsedJson } from '../json.ts'
import { type Metric, share } from '../metric.ts'

export const jsonValidity: Metric = {
  name: 'json-validity',
  about: 'the answer is JSON',
  needs: 'answers',
  kind: 'share',
  better: 'higher',
  score: ({ answer }) => share(parsedJson(answer) !== undefined),
}
