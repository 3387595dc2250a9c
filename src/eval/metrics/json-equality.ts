// The answer is the same JSON value as the row's; the order of keys does not count.

import { parsedJson, sameJson } from '../json.ts'
import { type Metric, share } from '../metric.ts'

export const jsonEquality: Metric = {
  name: 'json-equality',
  about: "the answer is the row's JSON value, the order of keys apart",
  needs: 'answers',
  kind: 'share',
  better: 'higher',
  problem: ({ wanted }) =>
    parsedJson(wanted)
      ? undefined
      : `the wanted answer is no JSON: ${JSON.stringify(wanted.slice(0, 40))}`,
  score({ answer, wanted }) {
    const found = parsedJson(answer)
    return share(found !== undefined && sameJson(found.value, parsedJson(wanted)!.value))
  },
}
