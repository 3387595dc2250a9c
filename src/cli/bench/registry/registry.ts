// graft bench registry: a registry of 10,000 experts, each call timed against its aim.

import {
  type Benchmark,
  type BenchmarkContext,
  type BenchmarkRow,
  toBenchmarkRow,
} from '../benchmark.ts'

const experts = 10_000

async function* runRegistry(context: BenchmarkContext): AsyncIterable<BenchmarkRow> {
  const { measureRegistry } = await import('./measure-registry.ts')
  context.progress(`registry: ${experts} experts are entered`)
  for await (const { name, values, aim, note } of measureRegistry(experts)) {
    context.progress(`registry: ${name}`)
    yield toBenchmarkRow({
      name: `registry of ${experts.toLocaleString('en')}: ${name}`,
      unit: 'ms',
      higherIsBetter: false,
      ours: values,
      note: `aim: ${aim} ms${note === '' ? '' : `; ${note}`}`,
    })
  }
}

export const registryBenchmark: Benchmark = {
  name: 'registry',
  summary: 'a registry of 10,000 experts: list, resolve, search, add',
  needs: 'nothing',
  run: runRegistry,
}
