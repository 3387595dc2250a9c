// npm run simulate:fleet: tables of serving many adapters on many replicas, and of training on several
// machines, as docs/fleet.md has them. Options: --quick (a tenth of the requests), --policy NAME.

import { parseArgs } from 'node:util'
import { fleetPolicies } from './policy-table.ts'
import { type FleetResult, simulateFleet } from './simulate-fleet.ts'
import { computeStepSeconds } from './training-cost.ts'

/** A LoRA of rank 8 on all linear layers of SmolLM2-135M in f32, and in 4 bits. */
const adapterBytes = 9.8e6
const packedShare = 1 / 7
/** Dollars of a replica for an hour, and of a gigabyte that is fetched. */
const replicaPrice = 1
const fetchPrice = 0.01

const fleets = [
  { adapters: 1_000, replicas: 4, resident: 100, requests: 100_000 },
  { adapters: 10_000, replicas: 20, resident: 200, requests: 400_000 },
  { adapters: 100_000, replicas: 200, resident: 500, requests: 1_500_000 },
  { adapters: 1_000_000, replicas: 1_000, resident: 500, requests: 4_000_000 },
]

const { values } = parseArgs({
  options: {
    quick: { type: 'boolean', default: false },
    policy: { type: 'string', multiple: true },
  },
})
const chosen = values.policy ?? Object.keys(fleetPolicies)
const unknown = chosen.filter((name) => !(name in fleetPolicies))
if (unknown.length > 0) {
  console.error(
    `no policy ${unknown.join(', ')}; there are: ${Object.keys(fleetPolicies).join(', ')}`,
  )
  process.exit(2)
}

/** Dollars for a million requests: replicas by the hour, and what they fetch. */
function computePrice({ requestsPerSecond, fetchesPerSecond }: FleetResult, replicas: number) {
  const hours = 1e6 / requestsPerSecond / 3600
  const gigabytes = (fetchesPerSecond * replicas * adapterBytes * 1e6) / requestsPerSecond / 1e9
  return hours * replicas * replicaPrice + gigabytes * fetchPrice
}

function printServing(): void {
  console.log(
    '| adapters | replicas | resident each | Zipf | sent by | hit % | wait p50 / p99 ms | requests/s | MB/s fetched, a replica | in 4 bits | $ for 10⁶ requests |',
  )
  console.log('| --: | --: | --: | --: | -- | --: | --: | --: | --: | --: | --: |')
  for (const fleet of fleets)
    for (const exponent of [1, 0.8])
      for (const { policy, gates } of listRows()) {
        const requests = values.quick ? fleet.requests / 10 : fleet.requests
        const result = simulateFleet({ ...fleet, requests, exponent, policy, gates })
        const megabytes = (result.fetchesPerSecond * adapterBytes) / 1e6
        console.log(
          `| ${[
            fleet.adapters.toLocaleString('en'),
            fleet.replicas.toLocaleString('en'),
            fleet.resident,
            exponent,
            gates === 1 ? policy : `${policy}, ${gates} gates`,
            (100 * result.hitShare).toFixed(1),
            `${result.waitMs.p50.toFixed(0)} / ${result.waitMs.p99.toFixed(0)}`,
            result.requestsPerSecond.toFixed(0),
            megabytes.toFixed(1),
            (megabytes * packedShare).toFixed(2),
            computePrice(result, fleet.replicas).toFixed(1),
          ].join(' | ')} |`,
        )
      }
}

/** Every policy with one gate, and the one that is used with four. */
const listRows = (): { policy: string; gates: number }[] =>
  chosen.flatMap((policy) =>
    (policy === 'grown' ? [1, 4] : [1]).map((gates) => ({ policy, gates })),
  )

function printTraining(): void {
  const parts = { computeSeconds: 3.5, bytes: 19.5e6, callSeconds: 0.05 }
  console.log('\n| machines | 1 Gbit/s: step s | faster | 10 Gbit/s: step s | faster |')
  console.log('| --: | --: | --: | --: | --: |')
  for (const machines of [1, 2, 4, 8, 16, 32]) {
    const cells = [1e9, 1e10].flatMap((bitsPerSecond) => {
      const seconds = computeStepSeconds(machines, Object.assign({ bitsPerSecond }, parts))
      return [seconds.toFixed(2), `${(parts.computeSeconds / seconds).toFixed(1)} ×`]
    })
    console.log(`| ${[machines, ...cells].join(' | ')} |`)
  }
}

printServing()
printTraining()
