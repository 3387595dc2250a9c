// `npm run bench -- [name]`: the benchmarks of `graft bench`, and the studies of this folder.

import { useHugePages } from '../src/cli/core/huge-pages.ts'
import { createBenchCommand } from '../src/cli/commands/bench.ts'
import { runProcess } from '../src/cli/core/run-process.ts'

useHugePages('bench')
const bench = createBenchCommand(async () => {
  const { benchmarks } = await import('../src/cli/bench/benchmark-table.ts')
  const { studies } = await import('./studies/study-table.ts')
  return new Map([...benchmarks, ...studies])
}, 'npm run bench --')

await runProcess(['bench', ...process.argv.slice(2)], new Map([['bench', bench]]))
