// A replica that only meets the others: node exchange-replica.ts FLOATS MEETINGS

import { openPipeExchange } from '../../../src/node/replicas/pipe-exchange.ts'
import { readReplicaPlace } from '../../../src/node/replicas/replica-place.ts'

const place = readReplicaPlace(process.env)!
const exchange = openPipeExchange(place)
const [floats, meetings] = process.argv.slice(2).map(Number) as [number, number]
let values = new Float32Array(floats)
for (let step = 1; step <= meetings; step++) {
  values.fill(place.rank + 1)
  const { sums } = await exchange.meet({ step, note: new Uint8Array(100), values })
  const expected = (place.size * (place.size + 1)) / 2
  if (sums?.[0] !== expected || sums.at(-1) !== expected)
    throw new Error(`the sum is ${sums?.[0]}, expected ${expected}`)
  values = sums as Float32Array<ArrayBuffer>
}
