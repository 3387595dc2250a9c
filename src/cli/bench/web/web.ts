// The whole engine in one Chromium, compared with wllama (llama.cpp on WebAssembly) if it is
// installed: writing, reading, an adapter, a swap, a training step, memory, a second visit.

import {
  toBenchmarkRow,
  type Benchmark,
  type BenchmarkContext,
  type BenchmarkRow,
} from '../benchmark.ts'
import { type ReferenceLine, runChromiumReference } from '../reference.ts'

/** A row over lines of one name: what it is, and what is aimed at. */
interface WebRow {
  readonly line: string
  readonly name: string
  readonly unit: string
  /** The line that it is compared with. */
  readonly reference?: { readonly line: string; readonly name: string }
  readonly goal?: number
  readonly note?: string
}

const cpu = 'processor time, one thread'

const rows: readonly WebRow[] = [
  {
    line: 'graft token',
    name: 'web: writing a token, Q4_1',
    unit: 'ms',
    reference: { line: 'wllama q4_1 token', name: 'wllama, Q4_1' },
    goal: 2,
    note: cpu,
  },
  {
    line: 'graft token',
    name: 'web: writing a token, against Q8_0',
    unit: 'ms',
    reference: { line: 'wllama q8_0 token', name: 'wllama, Q8_0' },
    goal: 1.25,
    note: cpu,
  },
  {
    line: 'graft read',
    name: 'web: reading 240 tokens, Q4_1',
    unit: 'ms',
    reference: { line: 'wllama q4_1 read', name: 'wllama, Q4_1' },
    goal: 7,
    note: cpu,
  },
  {
    line: 'graft read',
    name: 'web: reading 240 tokens, against Q8_0',
    unit: 'ms',
    reference: { line: 'wllama q8_0 read', name: 'wllama, Q8_0' },
    goal: 3.5,
    note: cpu,
  },
  {
    line: 'graft int8 read',
    name: 'web: reading 240 tokens with products in 8 bits, Q4_1',
    unit: 'ms',
    reference: { line: 'wllama q4_1 read', name: 'wllama, Q4_1' },
    goal: 7,
    note: cpu,
  },
  {
    line: 'graft int8 read',
    name: 'web: reading 240 tokens with products in 8 bits, against Q8_0',
    unit: 'ms',
    reference: { line: 'wllama q8_0 read', name: 'wllama, Q8_0' },
    goal: 3.5,
    note: cpu,
  },
  {
    line: 'graft adapter token',
    name: 'web: writing a token with an adapter (r16, all linears)',
    unit: 'ms',
    reference: { line: 'graft token', name: 'the base' },
    goal: 1 / 1.3,
    note: cpu,
  },
  {
    line: 'graft swap',
    name: 'web: what another adapter in memory adds until the first token',
    unit: 'ms',
    reference: { line: 'graft adapter token', name: 'one token' },
    goal: 1,
    note: cpu,
  },
  {
    line: 'graft step',
    name: 'web: a training step (r8, 2 × 64 tokens)',
    unit: 'ms',
    reference: { line: 'node step', name: 'Node, the native runtime' },
    goal: 1 / 2.5,
    note: cpu,
  },
  { line: 'graft peak of the base', name: 'web: peak memory, the base alone', unit: 'MB' },
  { line: 'graft peak', name: 'web: peak memory, base and ten experts', unit: 'MB' },
  {
    line: 'graft peak in 16 bits',
    name: 'web: peak memory, base and ten experts kept in 16 bits',
    unit: 'MB',
  },
  {
    line: 'graft second visit',
    name: 'web: second visit without network, to the first token',
    unit: 'ms',
    note: 'by the clock',
  },
  {
    line: 'graft size',
    name: 'web: the engine as a page loads it first, minified, gzipped',
    unit: 'kB',
  },
]

const collectValues = (lines: readonly ReferenceLine[], name: string): number[] =>
  lines.filter((line) => line.name === name).map((line) => Number(line['value']))

async function* measureWeb(context: BenchmarkContext): AsyncIterable<BenchmarkRow> {
  const lines = await runChromiumReference('web-chromium.ts', context)
  for (const { line, reference, ...row } of rows) {
    const ours = collectValues(lines, line)
    if (ours.length === 0) continue
    yield toBenchmarkRow({
      ...row,
      higherIsBetter: false,
      ours,
      reference: reference && {
        name: reference.name,
        values: collectValues(lines, reference.line),
      },
    })
  }
}

export const webBenchmark: Benchmark = {
  name: 'web',
  summary:
    'the engine in one Chromium: writing, reading, adapters, training, memory; against wllama',
  needs: 'the sources, Chromium, and GRAFT_BENCH_WLLAMA: a folder with @wllama/wllama 3.13.0',
  run: measureWeb,
}
