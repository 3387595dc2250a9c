// graft bench registry: a registry of 10,000 experts, each call timed against its aim.

import {
  type Benchmark,
  type BenchmarkContext,
  type BenchmarkRow,
  toBenchmarkRow,
} from '../benchmark.ts'
import type { RegistryTimes } from './measure-registry.ts'

const experts = 10_000

async function* runRegistry(context: BenchmarkContext): AsyncIterable<BenchmarkRow> {
  const { measureRegistry } = await import('./measure-registry.ts')
  context.progress(`registry: ${experts} experts are entered`)
  for await (const times of measureRegistry(experts))
    yield toRow(`registry of ${experts.toLocaleString('en')}`, times)
  const { measurePublishing } = await import('./measure-publishing.ts')
  context.progress('registry: servers are started')
  for await (const times of measurePublishing()) yield toRow('registry', times)
}

const toRow = (what: string, { name, values, aim, note }: RegistryTimes): BenchmarkRow =>
  toBenchmarkRow({
    name: `${what}: ${name}`,
    unit: 'ms',
    higherIsBetter: false,
    ours: values,
    note: `aim: ${aim} ms${note === '' ? '' : `; ${note}`}`,
  })

export const registryBenchmark: Benchmark = {
  name: 'registry',
  summary: 'a registry of 10,000 experts: list, resolve, search, add; publishing into a server',
  needs: 'nothing',
  run: runRegistry,
}
