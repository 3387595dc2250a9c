// The answer is the same JSON value as the row's; the order of keys does not count.

import { parseJson, isEqualJson } from '../json.ts'
import { type Metric, scoreBinary } from '../metric.ts'

export const jsonEquality: Metric = {
  name: 'json-equality',
  about: "the answer is the row's JSON value, the order of keys apart",
  needs: 'answers',
  kind: 'share',
  better: 'higher',
  findProblem: ({ wanted }) =>
    parseJson(wanted)
      ? undefined
      : `the wanted answer is not JSON: ${JSON.stringify(wanted.slice(0, 40))}`,
  score({ answer, wanted }) {
    const found = parseJson(answer)
    return scoreBinary(found !== undefined && isEqualJson(found.value, parseJson(wanted)!.value))
  },
}
