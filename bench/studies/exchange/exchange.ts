// What adding up gradients costs apart from computing them: two processes that meet and compute
// nothing. node bench/main.ts exchange

import { type Benchmark, toBenchmarkRow } from '../../../src/cli/bench/benchmark.ts'
import { type ExchangeReport, serveMeetings } from '../../../src/node/replicas/relay.ts'
import { startReplica } from '../../../src/node/replicas/replica-process.ts'

const size = 2
const meetings = 40
const warmup = 5

/** Milliseconds of each meeting, as the processes see it from their first byte to the last sum. */
async function measureMeetings(floats: number): Promise<number[]> {
  const program = new URL('exchange-replica.ts', import.meta.url).pathname
  const reports: ExchangeReport[] = []
  const replicas = Array.from({ length: size }, (_, rank) =>
    startReplica(
      [process.execPath, program, String(floats), String(meetings)],
      { rank, size, attempt: 1 },
      () => undefined,
    ),
  )
  const links = replicas.map(({ link }) => link)
  await serveMeetings(links, { onExchange: (report) => reports.push(report) })
  const ends = await Promise.all(replicas.map(({ ended }) => ended))
  for (const { rank, code, lastLine } of ends)
    if (code !== 0) throw new Error(`replica ${rank} ended with ${code}: ${lastLine}`)
  return reports.slice(warmup).map(({ ms, waitedMs }) => ms + waitedMs)
}

export const exchangeStudy: Benchmark = {
  name: 'exchange',
  summary: 'gradients of two processes added up by a third',
  needs: 'nothing',
  async *run() {
    for (const floats of [100_000, 5_000_000]) {
      const ours = await measureMeetings(floats)
      yield toBenchmarkRow({
        name: `${floats} floats`,
        unit: 'ms',
        higherIsBetter: false,
        ours,
        ...(floats === 5_000_000 && { note: 'wanted: at most 150 ms at the median' }),
      })
    }
  },
}
